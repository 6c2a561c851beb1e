"""A bundle whose weights lie elsewhere is refused wherever in the file they are named, before
anything is opened.
"""

import onnx
import onnx.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, SparseTensorProto, TensorProto, helper

from conure_core.contract.external_data import require_own_weights
from conure_core.errors import BundleError

PLACES = (
    "initializer",
    "sparse values",
    "sparse indices",
    "constant",
    "tensors",
    "sparse attribute",
    "subgraph",
    "graphs",
    "function",
    "default of a function",
    "training",
)


def tensor(**fields) -> TensorProto:
    made = TensorProto(name="stolen", data_type=TensorProto.FLOAT, dims=[4], **fields)
    if "raw_data" not in fields:
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value="weights.bin")
    return made


def model(place: str, weights: TensorProto) -> onnx.ModelProto:
    """A model with one tensor in this place."""
    whole = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 18]> m (float[4] x) => (float[4] y) { y = Neg(x) }'
    )
    sparse = SparseTensorProto(values=weights, dims=[9])
    if place == "initializer":
        whole.graph.initializer.append(weights)
    elif place == "sparse values":
        whole.graph.sparse_initializer.append(sparse)
    elif place == "sparse indices":
        whole.graph.sparse_initializer.append(SparseTensorProto(indices=weights, dims=[9]))
    elif place == "constant":
        whole.graph.node.append(helper.make_node("Constant", [], ["c"], value=weights))
    elif place in ("tensors", "sparse attribute", "graphs", "subgraph"):
        inner = helper.make_graph([], "inner", [], [], initializer=[weights])
        attribute = {
            "tensors": AttributeProto(name="a", type=AttributeProto.TENSORS, tensors=[weights]),
            "sparse attribute": AttributeProto(
                name="a", type=AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse
            ),
            "graphs": AttributeProto(name="a", type=AttributeProto.GRAPHS, graphs=[inner]),
            "subgraph": AttributeProto(name="a", type=AttributeProto.GRAPH, g=inner),
        }[place]
        whole.graph.node.append(onnx.NodeProto(op_type="If", attribute=[attribute]))
    elif place == "training":
        whole.training_info.add().algorithm.initializer.append(weights)
    else:
        function = whole.functions.add(name="f", domain="own")
        attribute = AttributeProto(name="value", type=AttributeProto.TENSOR, t=weights)
        if place == "function":
            function.node.append(onnx.NodeProto(op_type="Constant", attribute=[attribute]))
        else:
            function.attribute_proto.append(attribute)
    return whole


@pytest.mark.parametrize("place", PLACES)
def test_weights_elsewhere_are_refused_by_name_wherever_they_are_named(place):
    with pytest.raises(
        BundleError, match=r"policy\.onnx: the weights 'stolen' are in another file"
    ):
        require_own_weights(model(place, tensor()).SerializeToString(), "policy.onnx")
    require_own_weights(
        model(place, tensor(raw_data=b"\0" * 16)).SerializeToString(), "policy.onnx"
    )


def test_a_location_alone_and_a_file_alone_are_refused():
    location = tensor(raw_data=b"", data_location=TensorProto.EXTERNAL)
    file = tensor(raw_data=b"")
    file.external_data.add(key="location", value="weights.bin")
    for weights in (location, file):
        with pytest.raises(BundleError, match="in another file"):
            require_own_weights(model("initializer", weights).SerializeToString(), "policy.onnx")


def test_a_location_that_a_later_part_of_the_file_adds_is_found():
    """Protocol Buffers merge a field that comes twice: the second graph's tensors are the model's
    as well.
    """
    parts = [
        model("initializer", weights).SerializeToString()
        for weights in (tensor(raw_data=b"\0" * 16), tensor())
    ]
    with pytest.raises(BundleError, match="in another file"):
        require_own_weights(b"".join(parts), "policy.onnx")


def test_a_file_that_is_cut_off_is_no_onnx_file():
    content = model("initializer", tensor(raw_data=b"\0" * 16)).SerializeToString()
    with pytest.raises(BundleError, match="is not an ONNX file"):
        require_own_weights(content[:-1], "policy.onnx")


@given(st.binary(max_size=200))
def test_any_bytes_pass_or_are_refused_in_one_line(content):
    try:
        require_own_weights(content, "policy.onnx")
    except BundleError as error:
        assert "\n" not in str(error)
