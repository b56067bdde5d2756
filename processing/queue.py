"""What Redis holds of the outbox: the messages that wait, and those that workers have taken."""

from typing import Any
from uuid import UUID

import dramatiq
from dramatiq import Message
from redis.exceptions import RedisError

from . import actors


def size() -> int:
    """Messages that Redis holds, those under way included."""
    broker: Any = dramatiq.get_broker()
    return int(broker.do_qsize(actors.QUEUE))


def documents_of(actor: str) -> set[UUID]:
    """Documents of which a message for this actor is in Redis: it is not lost, only not done yet.

    Looked up where Dramatiq keeps them (its dispatch.lua): a list of those that wait, a set of
    those that each worker has taken, and what they say. A worker's that died return to the list by
    themselves. Raises ConnectionError: of a Redis that does not answer nobody can tell.
    """
    broker: Any = dramatiq.get_broker()
    queue = f"{broker.namespace}:{actors.QUEUE}"
    try:
        ids = broker.client.lrange(queue, 0, -1)
        for worker in broker.client.zrange(f"{broker.namespace}:__heartbeats__", 0, -1):
            taken = f"{broker.namespace}:__acks__.{worker.decode()}.{actors.QUEUE}"
            ids += broker.client.smembers(taken)
        stored = broker.client.hmget(f"{queue}.msgs", ids) if ids else []
    except RedisError as error:
        raise ConnectionError("Redis does not answer") from error
    messages = [Message.decode(data) for data in stored if data]
    return {UUID(message.args[0]) for message in messages if message.actor_name == actor}
