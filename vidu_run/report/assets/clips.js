/* The clips of the page, unpacked from its data: one object a job, in the order of the spec. */

const page = JSON.parse(document.getElementById("data").textContent);

const text = (number) => (number === null ? null : page.texts[number]);

const file = (href) => (href === null ? null : { href, name: readable(href.replace(/^\.\//, "")) });

/* A folder's name can hold bytes that are not UTF-8. */
function readable(href) {
  try {
    return decodeURIComponent(href);
  } catch {
    return href;
  }
}

function unpack(row, index) {
  const raw = Object.fromEntries(page.fields.map((field, at) => [field, row[at]]));
  return {
    ...raw,
    index,
    state: text(raw.state),
    prompt: text(raw.prompt),
    model: text(raw.model),
    resolution: text(raw.resolution),
    error: text(raw.error),
    hint: text(raw.hint),
    first: raw.first === null ? null : page.stills[raw.first],
    last: raw.last === null ? null : page.stills[raw.last],
    file: file(raw.file),
    labels: Object.fromEntries(page.axes.map(({ name, labels }, at) => [name, labels[raw.axes[at]] ?? null])),
    request: () => text(raw.request).replace(/^  "seed": null/m, () => `  "seed": ${raw.asked}`),
  };
}

const clips = page.rows.map(unpack);
const byKey = new Map(clips.map((clip) => [clip.key, clip]));

/* A draft stands beside the clip that was promoted from it; it is looked at, never counted or picked. */
function draftOf(clip) {
  if (!clip.draft) return null;
  clip.draftClip ??= { ...clip, ...clip.draft, key: `draft ${clip.key}`, file: file(clip.draft.file), draft: null, final: clip, state: "done", hint: null, error: null };
  return clip.draftClip;
}

function labelsOf(clip) {
  return page.axes.filter(({ name }) => clip.labels[name] !== null).map(({ name }) => [name, clip.labels[name]]);
}

function soughtText(clip) {
  const labels = labelsOf(clip).map(([axis, label]) => `${axis}=${label}`);
  const parts = [clip.name, clip.prompt, clip.model, clip.resolution, word(clip.state), clip.error, clip.task_id, clip.key, `seed=${clip.seed}`];
  return [...parts, ...labels].filter(Boolean).join("\n").toLowerCase();
}
