"""Static scan of C++ and CUDA sources: token rules, and what a source keeps at namespace scope."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kernel_lab.scan import Mark, rules

_SCOPE = re.compile(r"(inline\s+)?namespace\b[\w:\s]*$|extern\s*\"\"\s*$")
_TYPES = re.compile(r"(struct|class|union|enum)\b")
_CLASS = re.compile(r"(enum\s+)?(struct|class|union|enum)\s+(\w+\([^)]*\)\s*)?[\w:]*\s*(<.*>)?\s*(final\s*)?(:[^:].*?)?(\{\})?", re.S)
_MACRO = re.compile(r"([A-Z][A-Z0-9_]*)\s*\(.*\)(\{\})?", re.S)
_LIBRARY_MACROS = ("TVM_FFI_DLL_EXPORT", "PYBIND11_MODULE", "TORCH_LIBRARY", "TORCH_EXTENSION", "STABLE_TORCH", "CUTE_", "CUTLASS_")
_NO_VARIABLE = re.compile(
    r"(using|typedef|static_assert|friend|namespace|(extern\s+)?template\b|(extern\s+)?__shared__|concept|export|module|import)\b"
)
_HANDLE = re.compile(r"\*(?!\s*const\b)|&|\bauto\b|_ptr\b")


def strip_comments(text: str) -> str:
    """C++ text with comments and the insides of plain strings blanked, line numbers kept; spliced lines joined first."""
    text = re.sub(r"\\\r?\n", "", text)
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(match: re.Match[str]) -> str:
        found = match.group(0)
        keep = found.startswith('"') and "\n" not in found
        return found if keep else re.sub(r"[^\n]", " ", found)

    return pattern.sub(blank, text)


def scan_native(path: str, text: str) -> list[Mark]:
    """Token rules, then the variables that outlive a call."""
    clean = strip_comments(text)
    joined = re.sub(r'"\s*"', "", clean)  # neighbouring strings are one
    found = []
    for tier in ("hard", "review", "library"):
        for pattern, why in rules()["cuda"][tier]:
            matches = list(re.finditer(pattern, clean, re.M))[:3]
            found += [Mark(tier, path, clean.count("\n", 0, item.start()) + 1, item.group(0).strip()[:60], why) for item in matches]
            late = None if matches else re.search(pattern, joined, re.M)
            if late:
                found.append(Mark(tier, path, 1, late.group(0).strip()[:60], why))
    found += [
        Mark("review", path, number, "non-ASCII name", "may read otherwise than it is")
        for number, line in enumerate(clean.splitlines(), 1)
        if re.search(r"[^\x00-\x7f]", re.sub(r'"[^"]*"', "", line))
    ]
    longest = max((len(match.group(0)) for match in re.finditer(r"\{[^{};]*\}", clean)), default=0)
    if longest > 4000:
        found.append(Mark("review", path, 1, f"a table of {longest} characters", "answers may be written into the source"))
    found += [Mark("review", path, line, what[:60], "keeps state between calls") for line, what in kept_variables(clean)]
    for line, text_of in _defines(clean):
        if text_of.count("{") != text_of.count("}"):
            found.append(Mark("review", path, line, text_of[:60], "a macro that opens or closes a scope"))
    return found


def _defines(clean: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(clean.splitlines(), 1):
        if re.match(r"\s*#\s*define\b", line):
            yield number, line.strip()


def kept_variables(clean: str) -> Iterator[tuple[int, str]]:
    """(line, text) of what is defined at namespace scope and can change: an object there outlives every call."""
    macros = {match[1]: match[2] for match in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\([^)\n]*\)[ \t]*(.*)$", clean, re.M)}
    for line, statement in _statements(clean):
        text = re.sub(r"\s+", " ", statement).strip()
        text = _without_templates(text)
        text = re.sub(r"\[\[.*?\]\]|__attribute__\s*\(\(.*?\)\)|alignas\s*\([^)]*\)", "", text).strip()
        macro = _MACRO.fullmatch(text)
        if macro and not macro[1].startswith(_LIBRARY_MACROS):
            body = macros.get(macro[1])
            if body is None or any(kept_variables(f"{body};")):
                yield line, text
        elif re.match(r"(__)?asm(__)?\b", text) or _is_variable(text):
            yield line, text


def _without_templates(text: str) -> str:
    while re.match(r"template\s*<", text):
        text = _after_template(text)
    return text


def _after_template(text: str) -> str:
    depth = 0
    for index, char in enumerate(text):
        depth += (char == "<") - (char == ">")
        if char == ">" and not depth:
            return text[index + 1 :].strip()
    return ""


def _statements(clean: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each statement at namespace scope; bodies of functions and classes are reduced to {}."""
    text = re.sub(r"^[ \t]*#[^\n]*", "", re.sub(r'"(?:\\.|[^"\\\n])*"', '""', clean), flags=re.M)
    now, line, depth, parens = "", 1, 0, 0
    begin = 1
    for char in text:
        line += char == "\n"
        if depth:
            depth += (char == "{") - (char == "}")
            if not depth:
                now += "}"
                if _is_function(now):
                    now = ""
            continue
        parens += (char == "(") - (char == ")")
        if char == "{" and _SCOPE.search(now.strip()):
            now = ""
        elif char == "{":
            depth, now = 1, now + "{"
        elif char == "}":
            now = ""
        elif char == ";" and parens <= 0:
            yield begin, now
            now = ""
        else:
            begin = line if not now.strip() else begin
            now += char
    if now.strip():
        yield begin, now


def _is_function(text: str) -> bool:
    """True for a head with its body: a parameter list before any `=`, and no class."""
    head = text[: text.index("{")]
    bare = re.sub(r"\boperator\s*\S{1,3}\(", "f(", _without_templates(re.sub(r"\s+", " ", head).strip()))
    return "(" in bare and "=" not in bare.split("(", 1)[0] and not _TYPES.match(bare)


def _is_variable(text: str) -> bool:
    if not text or _NO_VARIABLE.match(text) or _CLASS.fullmatch(text):
        return False
    if _MACRO.fullmatch(text):
        return False
    if _is_prototype(text):
        return False
    head = text.partition("=")[0]
    handle = bool(_HANDLE.search(head.partition("(")[0])) and not re.search(r"\bchar\b", text)
    return handle or not re.search(r"\bconst(expr)?\b", head)


def _is_prototype(text: str) -> bool:
    """`type name(parameters)` with nothing behind it; parameters are types, not values."""
    head = text.rpartition("=")[0].strip() if re.search(r"=\s*(0|default|delete)\s*$", text) else text
    match = re.fullmatch(r"[^()]+\((?P<inside>.*)\)\s*(const|noexcept|override|->[\w:<>\s*&]+|\s)*", head, re.S)
    if match is None or re.match(r"\s*[\d.\"'-]", match["inside"]):
        return False
    name = head.partition("(")[0].strip()
    return " " in name and ("=" not in name or "operator" in name)
