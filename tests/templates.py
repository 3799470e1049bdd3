#!/usr/bin/env python3
"""Chats as the program renders them against jinja2, on the templates of tests/data/templates.

  templates.py RENDER
"""
import datetime
import glob
import os
import subprocess
import sys
import tempfile

import gguf
import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

DATA = os.path.join(os.path.dirname(os.path.realpath(__file__)), "data", "templates")
BOS, EOS, DAY = "<s>", "</s>", datetime.datetime(2026, 11, 29)  # as render_main.c has it
USER, ANSWER, SYSTEM = " Who <b>wrote</b> it?\nTell me. ", "It was {her}.", " Be brief."
NEXT = "  And 'when'? \u00e9\u4e2d"
LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
{% set system_message = messages[0]['content'] %}
{%- else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}\
{% for message in loop_messages %}
{%- if loop.index0 == 0 and system_message != false %}\
{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
{%- else %}{% set content = message['content'] %}{% endif %}
{%- if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
DATED = """{{- bos_token }}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + "26 Jul 2024" + "\\n\\n" }}
{%- if messages[0]['role'] == 'system' %}
    {{- messages[0]['content'] | trim }}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""


def ends(template, end):
    """Another opening of the answer, as later models of a family have it."""
    start = "{%- if add_generation_prompt %}"
    return template[: template.rindex(start)] + start + end + "{%- endif %}"


# What is seen of a template: the named one that writes the same, what ends an answer, whether it takes no system
# message, whether it can switch thinking.
SEEN = {
    "chatml": ("chatml", "<|im_end|>", 0, 0), "deepseek": ("the file's own", "</s>", 0, 0),
    "deepseek-coder": ("deepseek-coder", "<|EOT|>", 0, 0), "gemma": ("gemma", "<end_of_turn>", 1, 0),
    "gpt-oss": ("the file's own", "<|end|>", 0, 0), "granite-3.3": ("granite", "<|end_of_text|>", 0, 1),
    "llama2": ("llama2", "</s>", 0, 0), "llama3": ("llama3", "<|eot_id|>", 0, 0), "llama4": ("llama4", "<|eot|>", 0, 0),
    "mistral": ("mistral", "</s>", 1, 0), "mistral-v1": ("the file's own", "</s>", 0, 0),
    "phi3.5-mini": ("phi3", "<|end|>", 0, 0), "phi4": ("phi4", "<|im_end|>", 0, 0),
    "qwen2.5": ("chatml", "<|im_end|>", 0, 0), "qwen3": ("chatml", "<|im_end|>", 0, 1),
    "qwen3-2507": ("chatml", "<|im_end|>", 0, 0), "qwen3-2507-thinking": ("the file's own", "<|im_end|>", 0, 0),
    "qwen3-coder": ("chatml", "<|im_end|>", 0, 0),
    "r1-distill-llama": ("deepseek-r1", "<\uff5cend\u2581of\u2581sentence\uff5c>", 0, 0),
    "r1-distill-qwen": ("the file's own", "<\uff5cend\u2581of\u2581sentence\uff5c>", 0, 1),
    "rwkv-world": ("the file's own", "", 0, 1), "zephyr": ("zephyr", "</s>", 0, 0),
}  # fmt: skip
REFUSED = {  # what is not known here is so where it would be run alone
    "{% for m in messages %}{{ m|tojson }}{% endfor %}": "the filter tojson is not known here",
    "{{ messages[0].content.encode() }}": "encode of a text is not known here",
    "{% include 'x' %}{{ messages[0].content }}": "the statement include is not known here",
    "{{ messages[0].content": "a tag has no end",
    "{% if true %}{{ messages[0].content }}": "endif is missing",
    "{{ messages[0].content + 1 }}": "'+' between a text and a value of another kind",
    "{{ nothing.content }}": "it asks for a part of what is not defined",
    "{{ raise_exception('not today') }}": "it refuses: not today",
    "hello": "it leaves a message out",
    "{{ messages[0].content|upper }}": "it leaves a message out",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "it is nested too deeply",
    "{{ " + 300 * "(" + "1" + 300 * ")" + " }}": "it is nested too deeply",
    "{{ " + 99999 * "-" + "1" + 99999 * "|string" + 99999 * "+1" + " }}":
        "'+' between a text and a value of another kind",
    "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}":
        "takes more than ",
    "{% for i in range(9999) %}{% for k in range(9999) %}{% endfor %}{% endfor %}": "takes more than ",
}


class Generation(jinja2.ext.Extension):
    """{% generation %}, which transformers adds, prints what is in it."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def rendered(template, messages, bos, eos, **given):
    """As transformers does it."""

    def raise_exception(text):
        raise jinja2.exceptions.TemplateError(text)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=[Generation, jinja2.ext.loopcontrols])
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = DAY.strftime
    chat = [{"role": role, "content": content} for role, content in messages]
    return environment.from_string(template).render(
        messages=chat, tools=None, documents=None, add_generation_prompt=True, bos_token=bos, eos_token=eos, **given)


def ours(program, path, *system):
    done = subprocess.run([program, path, USER, NEXT, *system], stdout=subprocess.PIPE, check=True)
    name, first, then, no_system, can_think, end, own_system, _ = done.stdout.decode().split("\0")
    return (name, end, int(no_system), int(can_think)), first, then, own_system


def same(what, got, want):
    assert got == want, f"{what}:\n{got!r}\n{want!r}"


def check_chat(program, path, template, what, bos, eos, system, thinking):
    given = {} if not thinking else {"enable_thinking": thinking == "on", "thinking": thinking == "on"}
    asked = [SYSTEM if system else "", *([thinking] if thinking else [])]
    seen, first, then, _ = ours(program, path, *asked)
    begin = [("system", SYSTEM)] if system else []
    same(what, first, rendered(template, [*begin, ("user", USER)], bos, eos, **given))
    chat = rendered(template, [*begin, ("user", USER), ("assistant", ANSWER), ("user", NEXT)], bos, eos, **given)
    behind = chat[chat.index(ANSWER) + len(ANSWER) :]
    end = behind.index(seen[1]) + len(seen[1])
    assert not behind[:end].replace(seen[1], "", 1).strip(), f"{what}: an answer ends in {behind[:end]!r}"
    same(what + ", next", then, behind[end:])


def check(program, path, template, name, bos, eos):
    seen, _, _, own_system = ours(program, path)
    same(f"what is seen of {name}", seen, SEEN.get(name, seen))
    for system in [False] if seen[2] else [False, True]:
        for thinking in (None, "on", "off") if seen[3] else (None,):
            what = f"{name}, system {system}, thinking {thinking}"
            check_chat(program, path, template, what, bos, eos, system, thinking)
    print(f"{name}: {seen}, system message {own_system!r}")


def check_refused(program, folder):
    for template, cause in REFUSED.items():
        path = os.path.join(folder, "refused.gguf")
        toy(path, template)
        done = subprocess.run([program, path, USER, NEXT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1 and cause in done.stderr and not done.stdout, f"{template[:60]}: {done}"


def toy(path, template):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([BOS.encode(), b"</s>", b"a", b"b", b"ab"])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(template)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    program = sys.argv[1]
    templates = {"llama2": LLAMA2, "zephyr": ZEPHYR, "llama3-dated": DATED}
    for path in sorted(glob.glob(os.path.join(DATA, "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as f:
            templates[os.path.basename(path)[: -len(".jinja")]] = f.read()
    templates["qwen3-2507"] = ends(templates["qwen3"], "{{- '<|im_start|>assistant\\n' }}")
    templates["qwen3-2507-thinking"] = ends(templates["qwen3"], "{{- '<|im_start|>assistant\\n<think>\\n' }}")
    templates["llama3-crlf"] = templates["llama3"].replace("\n", "\r\n")
    assert len(templates) >= 38 and SEEN.keys() <= templates.keys()
    with tempfile.TemporaryDirectory() as folder:
        for name, template in templates.items():
            path = os.path.join(folder, name + ".gguf")
            toy(path, template)
            check(program, path, template, name, BOS, EOS)
        check_refused(program, folder)


main()
