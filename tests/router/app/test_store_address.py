"""The section `redis` of a config becomes the address of a store."""

from __future__ import annotations

import pytest

from router.adapters.storage import open_storage
from router.app.process import storage_settings
from router.app.spooling import spool_folder
from router.app.store_probe import probe_store
from router.config import parse_config
from router.domain.errors import StorageUnavailable

ARMS = """
arms:
  cheap: {deployments: [{name: m, provider: openai, model: m, base_url: 'http://h/v1',
    price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}]}
"""
ENV = {"PW": "p", "SPW": "s"}


def test_sentinels_and_how_to_sign_in() -> None:
    text = f"""{ARMS}
redis: {{sentinel: {{service: store, nodes: ['s1:26379', '[::1]:26380'], username: u,
  password_env: PW, sentinel_password_env: SPW, database: 3}}}}
"""
    settings = storage_settings(parse_config(text, "test.yaml", ENV), ENV)
    assert settings.prefix == "ar:"
    nodes = settings.nodes
    assert nodes is not None
    assert nodes.nodes == (("s1", 26379), ("::1", 26380))
    assert (nodes.service, nodes.username, nodes.password) == ("store", "u", "p")
    assert (nodes.sentinel_password, nodes.database) == ("s", 3)
    assert "'p'" not in repr(settings)


def test_a_cluster_has_every_key_under_one_hash_tag() -> None:
    text = f"{ARMS}\nredis: {{cluster: {{nodes: ['c1:6379']}}}}\n"
    settings = storage_settings(parse_config(text, "test.yaml", ENV), ENV)
    assert settings.prefix == "{ar}:"
    assert settings.nodes is not None
    assert not settings.nodes.service


def test_a_url_is_one_server() -> None:
    text = f"{ARMS}\nredis: {{url: 'redis://h'}}\n"
    settings = storage_settings(parse_config(text, "test.yaml", ENV), ENV)
    assert (settings.url, settings.nodes, settings.prefix) == ("redis://h", None, "ar:")


def test_a_cluster_is_probed_and_no_private_server() -> None:
    config = parse_config(f"{ARMS}\nredis: {{cluster: {{nodes: ['127.0.0.1:1']}}}}\n", "t", {})
    with pytest.raises(StorageUnavailable):
        probe_store(config, {})


async def test_every_store_has_a_spool_of_its_own() -> None:
    sections = [
        *("{url: 'redis://h'}", "{url: 'redis://h/1'}"),
        *("{cluster: {nodes: ['a:1']}}", "{cluster: {nodes: ['b:1']}}"),
        *("{sentinel: {service: s, nodes: ['a:1']}}", "{sentinel: {service: t, nodes: ['a:1']}}"),
    ]
    folders = set()
    for section in sections:
        config = parse_config(f"{ARMS}\nredis: {section}\n", "t", {})
        storage = await open_storage(storage_settings(config, {}))
        folders.add(spool_folder(config, {}, storage))
        await storage.close()
    assert len(folders) == len(sections)
