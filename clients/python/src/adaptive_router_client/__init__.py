"""The typed client of the adaptive router: `Client` for threads, `AsyncClient` for asyncio."""

from adaptive_router_client.aio import AsyncClient, AsyncStream
from adaptive_router_client.calls import Outcome
from adaptive_router_client.client import Client, Stream
from adaptive_router_client.deciding import DecisionUnderWay, NothingReported
from adaptive_router_client.errors import RouterError
from adaptive_router_client.failures import Failure, failure_of
from adaptive_router_client.results import Completion, Decision, Receipt, TextDelta, ToolCallDelta
from adaptive_router_client.retry import NEVER, Retry
from adaptive_router_client.values import (
    Chat,
    ImageUrl,
    Message,
    Part,
    ResponseFormat,
    Routing,
    Tool,
    ToolCall,
    ToolChoice,
    Weights,
    system,
    tool_result,
    user,
)

__all__ = [
    "NEVER",
    "AsyncClient",
    "AsyncStream",
    "Chat",
    "Client",
    "Completion",
    "Decision",
    "DecisionUnderWay",
    "Failure",
    "ImageUrl",
    "Message",
    "NothingReported",
    "Outcome",
    "Part",
    "Receipt",
    "ResponseFormat",
    "Retry",
    "RouterError",
    "Routing",
    "Stream",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "Weights",
    "failure_of",
    "system",
    "tool_result",
    "user",
]
