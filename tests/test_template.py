"""The templates' small language: what it gives, what it refuses, and that nothing in it costs time or memory."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidu_run.spec.template import MOST_TEXT, BadTemplate, compile_template, is_template

SCOPE: dict[str, Any] = {
    "seed": 7,
    "half": 2.5,
    "wide": True,
    "nothing": None,
    "look": "soft light",
    "pair": {"name": "Old Harbour", "first": "frames/a b.png", "tags": ["x", "y"], "items": "kept", "a key": 1},
    "long": "x" * 15_000,
    "great": 10**290,
}


def render(text: str) -> Any:
    return compile_template(text).render(SCOPE)


def refusal(text: str) -> str:
    with pytest.raises(BadTemplate) as caught:
        render(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ seed }}", 7),
        ("  {{ seed }}\n", 7),
        ("{{- seed -}}", 7),
        ("s{{ seed }}", "s7"),
        ("{{ half }}", 2.5),
        ("{{ wide }}", True),
        ("{{ nothing }}", None),
        ("{{ pair.tags }}", ["x", "y"]),
        ("{{ pair }}", SCOPE["pair"]),
        ("{{ seed }}{{ seed }}", "77"),
        ("{{ seed }} {{ half }}", "7 2.5"),
        ("{{ '}}' }}", "}}"),
        ("{{ '1, 2' }}", "1, 2"),
        ("{{ '007' }}", "007"),
        ("a\r\nb {{ seed }}\n", "a\nb 7\n"),
    ],
)
def test_one_expression_keeps_its_type_and_anything_around_it_makes_text(text: str, value: Any) -> None:
    rendered = render(text)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("is {{ wide }}", "is true"),
        ("is {{ not wide }}", "is false"),
        ("{{ seed + 1 }}", 8),
        ("{{ seed - 8 }}", -1),
        ("{{ -seed }}", -7),
        ("{{ look + '!' }}", "soft light!"),
        ("{{ 'take ' ~ seed }}", "take 7"),
        ("{{ 'bgm ' ~ (true ~ 1.5) }}", "bgm true1.5"),
        ("{{ true | upper }}", "TRUE"),
        ("{{ 'xax' | trim('x') }}", "a"),
        ("{{ pair.tags[1] }}", "y"),
        ("{{ pair['a key'] }}", 1),
        ("{{ look[0] }}", "s"),
        ("{{ 'close' if seed is odd else 'wide' }}", "close"),
        ("{{ 3 if seed < 5 else none }}", None),
        ("{{ 'x' in pair.tags }}", True),
        ("{% if seed > 5 %}slow, {% else %}fast, {% endif %}a boat", "slow, a boat"),
        ("{{ pair.note | default('no note') }}", "no note"),
        ("{{ nope is defined }}", False),
        ("{{ '12' | int }}", 12),
        ("{{ ' 12.9 ' | int }}", 12),
        ("{{ 'twelve' | int(3) }}", 3),
        ("{{ half | round }}", 2.0),
        ("{{ 2.567 | round(1) }}", 2.6),
        ("{{ seed | pad }}", "07"),
        ("{{ seed | pad(4) }}", "0007"),
        ("{{ pair.name | slug }}", "old-harbour"),
        ("{{ '海 Ö!' | slug }}", "海-ö"),
        ("{{ pair.first | name }}", "a b.png"),
        ("{{ pair.first | stem | upper }}", "A B"),
        ("{# a note #}a boat", "a boat"),
    ],
)
def test_the_language_has_conditions_sums_and_a_few_filters(text: str, value: Any) -> None:
    assert render(text) == value


def test_a_key_named_like_a_method_is_the_key() -> None:
    assert render("{{ pair.items }}") == "kept"


def test_a_name_inside_a_value_is_no_attribute_of_its_type() -> None:
    for text in [
        "{{ look.upper }}",
        "{{ pair.keys }}",
        "{{ pair.tags.append }}",
        "{{ seed.real }}",
        "{{ pair['keys'] }}",
    ]:
        assert "in this value" in refusal(text)


def test_what_a_template_reads_and_where_it_looks_are_known() -> None:
    assert compile_template("{{ pair.first }}").way == ("pair", "first")
    assert compile_template("{{ pair['a key'] }}").way == ("pair", "a key")
    assert compile_template("{{ seed }}").way == ("seed",)
    assert compile_template("{{ pair.first | stem }}").way is None
    assert compile_template("{{ pair.tags[0] }}").way is None
    assert compile_template("s{{ seed }}").way is None
    assert compile_template("{% if a %}{{ b.c }}{% endif %}{{ d }}").reads == {"a", "b", "d"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ sed }}", "there is no variable or axis 'sed'; did you mean 'seed'?"),
        ("a {{ sed }}", "there is no variable or axis 'sed'; did you mean 'seed'?"),
        ("{{ pair.frist }}", "there is no 'frist' in this value; did you mean 'first'?"),
        ("{{ pair.tags[9] }}", "list object has no element 9"),
        ("{{ nope.name }}", "there is no variable or axis 'nope'"),
        ("a {{ nothing }} b", "'a {{ nothing }} b': null cannot stand inside a text"),
        ("a {{ pair.tags }} b", "'a {{ pair.tags }} b': a list cannot stand inside a text"),
        ("a {{ pair }}", "'a {{ pair }}': a mapping cannot stand inside a text"),
        ("{{ 'twelve' | int }}", "\"{{ 'twelve' | int }}\": 'twelve' is no whole number"),
        ("{{ 'in ' ~ none }}", "null cannot stand inside a text"),
        ("a boat {{ 'in ' ~ pair.tags }}", "a list cannot stand inside a text"),
        ("{{ none | trim }}", "null cannot stand inside a text"),
        ("{{ none | upper }}", "null cannot stand inside a text"),
        ("{{ '{' ~ '{ seed }}' }}", "still holds '{{' after rendering: '{{ seed }}'; a value is rendered once"),
        ('{{ "\\ud800" }}', "renders to half a character: '\\ud800'"),
        ('a {{ "\\ud800" }}', "renders to half a character: 'a \\ud800'"),
        ("{{ nothing | stem }}", "'{{ nothing | stem }}': null cannot stand inside a text"),
        ("{{ pair.tags + pair.tags }}", "'{{ pair.tags + pair.tags }}': + takes two numbers or two texts"),
        ("{{ look - look }}", "'{{ look - look }}': - takes two numbers"),
        ("{{ seed", "template: unexpected end of template"),
        ("{{ }}", "template: Expected an expression, got 'end of print statement'"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence(text: str, told: str) -> None:
    assert told in refusal(text)


FORBIDDEN = [
    "{% for a in pair.tags %}{{ a }}{% endfor %}",
    "{% set a = 1 %}",
    "{% macro a() %}{% endmacro %}",
    "{% include 'a' %}",
    "{% extends 'a' %}",
    "{% import 'a' as b %}",
    "{% block a %}{% endblock %}",
    "{% filter upper %}a{% endfilter %}",
    "{% raw %}{{ a }}{% endraw %}{{ a() }}",
    "{{ look.upper() }}",
    "{{ range(9) }}",
    "{{ super() }}",
    "{{ self }}",
    "{{ [1, 2] }}",
    "{{ {'a': 1} }}",
    "{{ (1, 2) }}",
    "{{ look[1:] }}",
    "{{ 2 * 3 }}",
    "{{ 2 / 3 }}",
    "{{ 2 ** 3 }}",
    "{{ 5 % 3 }}",
    "{{ 5 // 3 }}",
    "{{ 1 if wide }}",
    "{{ look | center }}",
    "{{ look | attr('upper') }}",
    "{{ look | map('upper') }}",
    "{{ look is callable }}",
    "{{ look is filter }}",
    "{{ ''.__class__ }}",
    "{{ look._x }}",
]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_what_the_language_lacks_is_refused_before_it_is_rendered(text: str) -> None:
    with pytest.raises(BadTemplate):
        compile_template(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''['__class__'] }}",
        "{{ pair['__class__']['__mro__'] }}",
        "{{ look['form' ~ 'at'] }}",
        "{{ pair.tags['__len__'] }}",
        "{{ loop }}",
        "{{ caller }}",
        "{{ environment }}",
        "{{ context }}",
        "{{ cycler }}",
        "{{ lipsum }}",
        "{{ namespace }}",
    ],
)
def test_nothing_leads_from_a_value_to_python(text: str) -> None:
    refusal(text)


HOSTILE = {
    "a long text": "{{ 'a' * 10**9 }}",
    "a wide column": "{{ 'a' | center(10**9) }}",
    "a wide number": "{{ '%999999999d' % 1 }}",
    "a wide zero": "{{ 1 | pad(1000000000) }}",
    "a power in round": "{{ 5 | round(-1000000000) }}",
    "a power in round, up": "{{ 1 | round(999999999, 'ceil') }}",
    "a long literal": "{{ " + "9" * 5000 + " }}",
    "a number without end": "{{ 1e999 }}",
    "a sum without end": "{{ 1e308 + 1e308 }}",
    "a difference without end": "{{ -1e308 - 1e308 }}",
    "no number": "{{ (1e308 + 1e308) - (1e308 + 1e308) }}",
    "a number that grows": "{{ " + " + ".join(["great"] * 39) + " + " + " + ".join(["great"] * 2000) + " }}",
    "many digits": "{{ '" + "9" * 4000 + "' | int }}",
    "more digits": "{{ '" + "9" * 5000 + "' | int }}",
    "nested loops": "{% for a in long %}{% for b in long %}{{ a }}{% endfor %}{% endfor %}",
    "texts in a row": "{{ long }}" * 900,
    "texts joined": "{{ " + " ~ ".join(["long"] * 900) + " }}",
    "texts added": "{{ " + " + ".join(["long"] * 30) + " }}",
    "deep attributes": "{{ pair" + ".a" * 9000 + " }}",
    "deep items": "{{ pair" + "[0]" * 6000 + " }}",
    "deep filters": "{{ look" + "|trim" * 3000 + " }}",
    "deep sums": "{{ 1" + "+1" * 9000 + " }}",
    "deep brackets": "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}",
    "deep negations": "{{ " + "not " * 4000 + "1 }}",
    "deep minus": "{{ " + "-" * 4000 + "1 }}",
    "deep conditions": "{% if 1 %}" * 1000 + "{% endif %}" * 900,
    "deep choices": "{{ " + "1 if 1 else " * 1500 + "1 }}",
    "many braces": "{{" * 9000,
    "an endless comment": "{#" * 9000,
    "a long template": "{{ seed }}" + " " * MOST_TEXT,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_template_is_refused_in_no_time(text: str) -> None:
    begun = time.process_time()
    refusal(text)
    assert time.process_time() - begun < 2


def test_the_longest_text_still_renders() -> None:
    assert len(render("{{ long }}" + "y" * (MOST_TEXT - 15_000 - 10))) == MOST_TEXT - 10


@pytest.mark.parametrize("text", ["a boat", "{ seed }", "100 %", "a # b", "}}", ""])
def test_text_without_a_template_is_none(text: str) -> None:
    assert not is_template(text)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    values=st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=4) | st.just("{{"),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "y", "items"]), inner),
            max_leaves=4,
        ),
    ),
    text=st.lists(
        st.sampled_from(["{{ a }}", "{{ b.x }}", "{{ c['y'].x }}", "{{ a.items }}", "-", " é ", "\n"]), min_size=2
    ),
)
def test_words_and_plain_look_ups_read_as_the_engine_reads_them(values: dict[str, Any], text: list[str]) -> None:
    """Constants make it a template for the engine; a word makes it a text and no single value."""
    plain = "".join(["-", *text])
    assert said(plain, values) == said("{{ '' }}{{ '' }}" + plain, values)


def said(template: str, values: dict[str, Any]) -> str:
    try:
        return str(compile_template(template).render(values))
    except BadTemplate as error:
        return f"wrong: {type(error).__name__}"
