"""What the graphs of the models have in common: a graph is written node by node, then run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from deploy.local.models import WrongWeights

# The version 20 of the standard operators is the first with Gelu; com.microsoft are ONNX Runtime's.
OPERATORS = [("", 20), ("com.microsoft", 1)]
OWN = "com.microsoft"


def check(path: Path, sha256: str) -> None:
    """Raise WrongWeights unless the file has this SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise WrongWeights(f"{path} does not have the pinned SHA-256")


class Graph:
    """A graph with one input, [1, tokens, ...], and one output, `vector`."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self.tensors: list[Any] = []

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; the name of its output, of which there are 1 or more, in a row by `.`."""
        output = f"{operator}.{len(self._nodes)}"
        names = [output] if outputs == 1 else [f"{output}.{place}" for place in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray | int) -> str:
        array = np.ascontiguousarray([value] if isinstance(value, int) else value)
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def mean_of_tokens(self, x: str) -> None:
        """The end of the graph: one vector of length 1."""
        mean = self.node("ReduceMean", x, self.constant("tokens", 1), keepdims=0)
        self._nodes.append(helper.make_node("LpNormalization", [mean], ["vector"], axis=-1, p=2))

    def session(
        self, input_name: str, input_type: int, shape: list[Any], folder: Path | None = None
    ) -> onnxruntime.InferenceSession:
        """Loads the graph; `folder` holds the files that its tensors name."""
        graph = helper.make_graph(
            self._nodes,
            "model",
            [helper.make_tensor_value_info(input_name, input_type, shape)],
            [helper.make_tensor_value_info("vector", TensorProto.FLOAT, None)],
            self.tensors,
        )
        operators = [helper.make_opsetid(*operator) for operator in OPERATORS]
        model = helper.make_model(graph, opset_imports=operators, ir_version=10)
        options = onnxruntime.SessionOptions()
        # Threads that spin while they wait gain 0.3 ms a query on idle cores, and cost a passage
        # 15 ms when PostgreSQL and the workers want the same cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if folder:
            key = "session.model_external_initializers_file_folder_path"
            options.add_session_config_entry(key, str(folder))
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
