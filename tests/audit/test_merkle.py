"""Merkle trees are those of RFC 9162, and a path proves a leaf, its place and nothing else."""

import hashlib

import pytest

from onedoor.audit.merkle import (
    MerkleTree,
    build_path,
    compute_root,
    compute_root_from_path,
    hash_leaf,
    hash_line_leaf,
    split_line,
)

ENTRIES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
"""The entries that implementations of Certificate Transparency are tested with, and the roots of the first n."""

ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

LEAVES = [hash_leaf(entry) for entry in ENTRIES]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert compute_root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_digest_of_nothing() -> None:
    assert MerkleTree().compute_root() == hashlib.sha256().digest()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 64, 65])
def test_every_leaf_has_a_path_to_the_root_that_fits_no_other_place(size: int) -> None:
    leaves = [hash_leaf(bytes([number])) for number in range(size)]
    root = compute_root(leaves)
    for index, leaf in enumerate(leaves):
        path = build_path(leaves, index)
        assert compute_root_from_path(leaf, index, size, path) == root
        others = (place for place in range(-1, size + 1) if place != index)
        assert root not in {compute_root_from_path(leaf, place, size, path) for place in others}
        assert compute_root_from_path(leaf, index, size, [*path, root]) is None
        assert not path or compute_root_from_path(leaf, index, size, path[:-1]) is None


def test_a_part_of_a_line_is_proved_by_the_digest_of_the_rest() -> None:
    line = b'{"prev":"0","id":"1","person":"p1","groups":["sales"],"text":"{ me { id } }"}'
    shown, rest = split_line(line)
    assert shown == b'{"prev":"0","id":"1","person":"p1"'
    entry = hashlib.sha256(shown).digest() + hashlib.sha256(rest).digest()
    assert hash_line_leaf(line) == hash_leaf(entry)
