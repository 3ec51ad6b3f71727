"""The contract keeps its rules, and each breach of one is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GOOD = """
syntax = "proto3";
package shop.v1;
// What is asked.
message FindItemRequest { string item_name = 1; map<string, string> tags = 2; }
// What is found.
message FindItemResponse {
  // How it is kept.
  enum ItemState { ITEM_STATE_UNSPECIFIED = 0; ITEM_STATE_COLD = 1; }
  ItemState state = 1;
  optional double price_usd = 2;
}
// A shop.
service ShopService {
  // Finds one.
  rpc FindItem(FindItemRequest) returns (FindItemResponse);
}
"""
TWICE = (
    "ShopService.FindItem: FindItemRequest belongs to ShopService.SeekItem Request:"
    " give each its own"
)


def lint(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/lint_protos"), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own script


def lint_text(folder: Path, text: str, file: str = "shop/v1/shop.proto") -> list[str]:
    path = folder / file
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    done = lint(str(folder))
    lines = done.stdout.split("\n")[:-1]
    assert done.returncode == int(bool(lines)), done.stderr
    return [line.removeprefix(f"{file}: ") for line in lines]


def test_the_contract_keeps_the_rules() -> None:
    done = lint()
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout


def test_what_keeps_the_rules_passes(tmp_path: Path) -> None:
    assert lint_text(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        ('"proto3"', '"proto2"', 'syntax: write syntax = "proto3"'),
        ("item_name", "itemName", "FindItemRequest.itemName: name it in lower_snake_case"),
        ("// What is asked.", "", "FindItemRequest: say in a comment what it is"),
        ("// How it is kept.", "", "FindItemResponse.ItemState: say in a comment what it is"),
        ("// A shop.", "", "ShopService: say in a comment what it is"),
        ("// Finds one.", "", "ShopService.FindItem: say in a comment what it is"),
        (
            "ITEM_STATE_UNSPECIFIED",
            "ITEM_STATE_HOT",
            "FindItemResponse.ItemState.ITEM_STATE_HOT: let ITEM_STATE_UNSPECIFIED alone be 0",
        ),
        (
            "ITEM_STATE_COLD",
            "COLD",
            "FindItemResponse.ItemState.COLD: begin it with ITEM_STATE_",
        ),
        (
            "ITEM_STATE_COLD",
            "ITEM_STATE_cold",
            "FindItemResponse.ItemState.ITEM_STATE_cold: name it in UPPER_SNAKE_CASE",
        ),
        ("service ShopService", "service Shop", "Shop: end the name in Service"),
        ("rpc FindItem(", "rpc findItem(", "ShopService.findItem: name it in PascalCase"),
        ("FindItemRequest", "Query", "ShopService.FindItem: name its message FindItemRequest"),
        ("FindItemResponse", "Item", "ShopService.FindItem: name its message FindItemResponse"),
        (
            "  rpc",
            "  rpc SeekItem(FindItemRequest) returns (FindItemResponse);\n  // Finds one.\n  rpc",
            TWICE,
        ),
    ],
)
def test_each_breach_is_found(tmp_path: Path, old: str, new: str, breach: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    if new == '"proto2"':
        text = text.replace("string item_name", "optional string item_name")
        text = text.replace("ItemState state", "optional ItemState state")
    assert breach in lint_text(tmp_path, text)


@pytest.mark.parametrize(
    ("package", "file", "breach"),
    [
        ("shop", "shop/shop.proto", "shop: end the package in a version, such as .v1"),
        ("shop.v1", "store/v1/shop.proto", "shop.v1: put the file into shop/v1/"),
        ("shop.v1", "shop/v1/ShopApi.proto", "ShopApi.proto: name the file in lower_snake_case"),
    ],
)
def test_packages_and_files(tmp_path: Path, package: str, file: str, breach: str) -> None:
    text = GOOD.replace("package shop.v1", f"package {package}")
    assert any(line.endswith(breach) for line in lint_text(tmp_path, text, file))


def test_protos_that_do_not_compile_are_no_pass(tmp_path: Path) -> None:
    (tmp_path / "a.proto").write_text("syntax =", encoding="utf-8")
    assert lint(str(tmp_path)).returncode == 1
    assert lint(str(tmp_path / "nowhere")).returncode == 1
