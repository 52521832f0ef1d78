"""Text that a user keeps: no secret and no address stays in it; and the performance numbers that it states."""

from __future__ import annotations

import time

import pytest

from ingest.claims import claims
from ingest.redact import cut, redact

SECRETS = {
    "GitHub token": "ghp_" + "a1B2" * 9,
    "fine-grained token": "github_pat_" + "A1b2_" * 8,
    "Hugging Face": "hf_" + "aB3d" * 9,
    "AWS": "AKIA" + "ABCD1234EFGH5678",
    "Google": "AIza" + "Sy0-_abc" * 5,
    "model key": "sk-" + "proj-a1B2c3" * 4,
    "NVIDIA key": "nvapi-" + "a1B2-_" * 6,
    "Slack": "xoxb-" + "123456789012-abcdef",
    "web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0.abcdefghij_-k",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----",
    "bearer": "Authorization: Bearer " + "abc.DEF-123" * 3,
    "address with password": "https://user:hunter22@example.com/path",
    "assignment": "export MY_API_KEY='abcdEFGH12345678ijkl'",
    "e-mail": "mail first.last+tag@sub.example-host.org now",
    "signature": "Signed-off-by: Some Body <some.body@example.com>",
    "co-author": "Co-authored-by: Some Body <1+sb@users.noreply.github.com>",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_secrets_and_people_are_dropped_and_the_text_around_stays(text: str) -> None:
    clean = redact(f"before\n{text}\nafter the kernel")
    assert clean.startswith("before\n") and clean.endswith("after the kernel")
    secret = max(text.replace("'", " ").split(), key=len)
    assert secret not in clean and "@sub" not in clean and "Some Body" not in clean


@pytest.mark.parametrize(
    "text",
    [
        "@triton.jit",
        "x @ y",
        "tl.dot(a@b)",
        "sk-learn",
        "token = tokens[i]",
        "password_field = True",
        "https://github.com/a/b#L3",
        "hf_model_name",
    ],
)
def test_code_that_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_control_characters_become_blanks_and_line_ends_one_kind() -> None:
    assert redact("a\x1b[31mb\x00c\u202ed\r\ne\rf\tg") == "a [31mb c d\ne\nf\tg"
    assert redact("lone \ud800 surrogate") == "lone   surrogate"


@pytest.mark.parametrize("unit", ["a.b", "password=", "x@", "eyJ", "-----BEGIN ", "sk-a", "://a:", "bearer ", "a@b."])
def test_hostile_text_is_read_in_time(unit: str) -> None:
    started = time.process_time()
    redact(unit * (200_000 // len(unit)))
    claims("", unit * (60_000 // len(unit)))
    assert time.process_time() - started < 5


def test_cut_text_says_that_it_was_cut() -> None:
    assert cut("abcdef", 6) == "abcdef" and cut("abcdefg", 6) == "abcd …"


CLAIMS = [
    ("speedup of 1.4x on H100 in fp8", [("speedup", 1.4, "x", "H100", "fp8", "")]),
    ("We get 2.1× faster decode for M=16, N=4096", [("speedup", 2.1, "x", "", "", "M=16, N=4096")]),
    ("1,234 TFLOPS on B200 with nvfp4", [("throughput", 1234.0, "TFLOPS", "B200", "nvfp4", "")]),
    ("It reaches 7.2 TB/s.", [("bandwidth", 7200.0, "GB/s", "", "", "")]),
    ("TTFT improved by 12.5% on MI300X", [("time to first token", 12.5, "%", "MI300X", "", "")]),
    ("from 33.1us to 20 us", [("time", 33.1, "us", "", "", ""), ("time", 20.0, "us", "", "", "")]),
    ("78% of peak", [("utilisation", 78.0, "%", "", "", "")]),
    ("3500 tokens/s before", [("token rate", 3500.0, "tokens/s", "", "", "")]),
    ("Needs 4x more tests, 25% of them new", []),
    ("version 2.1.3, see #1234, sm_90a, 0x10", []),
    ("see https://example.com/100ms-is-slow?speedup=3x", []),
]


@pytest.mark.parametrize(("text", "expected"), CLAIMS, ids=[text[:30] for text, _ in CLAIMS])
def test_a_performance_number_is_a_claim_and_any_other_number_is_none(text: str, expected: list[tuple[object, ...]]) -> None:
    found = [(claim.metric, claim.value, claim.unit, claim.gpu, claim.dtype, claim.shape) for claim in claims("", text)]
    assert found == expected


def test_a_table_gives_a_claim_for_each_number_with_the_unit_of_its_column_and_the_shape_of_its_row() -> None:
    table = "| M | N | bf16 before (us) | fp8 after (us) | speedup |\n|---|---|---|---|---|\n| 16 | 4096 | 12.5 | **9.25** | 1.35x |\n"
    body = f"Results on H200\n\n{table}"
    found = [(claim.metric, claim.value, claim.unit, claim.dtype, claim.shape, claim.said_in) for claim in claims("", body)]
    assert found == [
        ("time", 12.5, "us", "bf16", "M=16, N=4096", "body:5"),
        ("time", 9.25, "us", "fp8", "M=16, N=4096", "body:5"),
        ("speedup", 1.35, "x", "", "M=16, N=4096", "body:5"),
    ]
    assert all(claim.gpu == "H200" and claim.status == "reported" for claim in claims("", body))


def test_a_claim_says_where_it_was_said() -> None:
    found = claims("1.2x speedup", "line one\n1.3x speedup", ["nothing", "1.4x speedup"])
    assert [(claim.value, claim.said_in) for claim in found] == [(1.2, "title"), (1.3, "body:2"), (1.4, "discussion:2")]


def test_there_are_never_more_than_forty() -> None:
    assert len(claims("", "\n".join(f"{number} us" for number in range(1, 200)))) == 40
