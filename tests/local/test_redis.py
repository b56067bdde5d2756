import os
import signal

import pytest
import yaml
from redis import AuthenticationError, Redis

from deploy.local import redis
from deploy.local.process import REPOSITORY
from deploy.local.servers import free_ports
from tests.local.conftest import eventually, pids, running


@pytest.fixture
def server(supervisor, tmp_path):
    [port] = free_ports(1)
    supervisor.start(redis.program(tmp_path / "with space", port, "secret"))
    supervisor.wait_ready("redis")
    return redis.url(port, "secret")


def test_nobody_enters_without_the_password(server):
    client = Redis.from_url(server.replace(":secret@", ""))
    with pytest.raises(AuthenticationError):
        client.ping()


def test_it_is_started_again_with_its_data_after_a_kill(server, supervisor, tmp_path):
    with Redis.from_url(server) as client:
        client.set("kept", "yes")
        eventually(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0)
    pid = pids(tmp_path)["redis"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not running(pid))
    supervisor.wait_ready("redis")
    with Redis.from_url(server) as client:
        assert client.get("kept") == b"yes"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_it_is_the_redis_of_production(server):
    images = yaml.safe_load((REPOSITORY / "deploy/compose.yaml").read_text())["services"]
    with Redis.from_url(server) as client:
        ours = client.info("server")["redis_version"]
    assert images["redis"]["image"].partition(":")[2].startswith(ours.rpartition(".")[0])
