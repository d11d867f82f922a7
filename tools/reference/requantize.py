"""A copy of a model with its matrices in another weight type: for comparing types of which no model lies at hand.

    python3 tools/reference/requantize.py MODEL.gguf OUT.gguf TYPE [--rest TYPE] [--embedding TYPE] [--layers N]

TYPE is a name such as Q2_K, IQ4_XS or MXFP4. Matrices whose rows are no whole number of its blocks take the type of `--rest`
(Q8_0), and the token embedding and the output matrix that of `--embedding` (TYPE). Vectors stay 32-bit floats. With `--layers`
only the first N layers are taken, for a quicker comparison of programs. The source may be of any type; 32-bit floats
(expand_f32.py) lose the least. Needs the PyPI packages `gguf` and `llama-cpp-python`, whose library quantises.
"""

import argparse
import concurrent.futures
import ctypes
import pathlib

import gguf
import numpy as np
from expand_f32 import copy_metadata

ROWS_AT_ONCE = 256
FILE_TYPES = {"Q2_K": "MOSTLY_Q2_K", "Q3_K": "MOSTLY_Q3_K_M", "Q4_K": "MOSTLY_Q4_K_M", "Q5_K": "MOSTLY_Q5_K_M", "MXFP4": "MOSTLY_MXFP4_MOE"}


def library():
    import llama_cpp

    name = pathlib.Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"
    base = ctypes.CDLL(str(name))
    base.ggml_quantize_chunk.restype = ctypes.c_size_t
    base.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    return base


def quantize(base, values, kind):
    """Rows of floats as rows of bytes of that type."""
    rows, cols = values.shape
    if kind == gguf.GGMLQuantizationType.F32:
        return values.view(np.uint8)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros((rows, cols // block * size), dtype=np.uint8)

    def piece(first):
        count = min(ROWS_AT_ONCE, rows - first)
        written = base.ggml_quantize_chunk(kind, values.ctypes.data, out.ctypes.data, first * cols, count, cols, None)
        # The call puts each row to its own place, counted from the beginning.
        assert written == count * out.shape[1], (kind.name, first, written)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(piece, range(0, rows, ROWS_AT_ONCE)))
    return out


def layer_of(tensor):
    """The number of a tensor's layer; -1 where it belongs to none."""
    return int(tensor.name.split(".")[1]) if tensor.name.startswith("blk.") else -1


def kind_of(tensor, args):
    """The type that a tensor is given."""
    wanted = args.embedding if tensor.name in ("token_embd.weight", "output.weight") and args.embedding else args.type
    if len(tensor.shape) < 2 or "norm" in tensor.name:
        return gguf.GGMLQuantizationType.F32
    for name in (wanted, args.rest):
        kind = gguf.GGMLQuantizationType[name]
        if int(tensor.shape[0]) % gguf.GGML_QUANT_SIZES[kind][0] == 0:
            return kind
    return gguf.GGMLQuantizationType.F32


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("type")
    parser.add_argument("--rest", default="Q8_0")
    parser.add_argument("--embedding")
    parser.add_argument("--layers", type=int)
    args = parser.parse_args()
    base, reader = library(), gguf.GGUFReader(args.model)
    writer = gguf.GGUFWriter(args.out, reader.fields["general.architecture"].contents())
    layers_key = reader.fields["general.architecture"].contents() + ".block_count"
    layers = args.layers or reader.fields[layers_key].contents()
    file_type = gguf.LlamaFileType[FILE_TYPES.get(args.type, "MOSTLY_" + args.type)]
    copy_metadata(reader, writer, file_type, {layers_key: layers})
    plan = [(tensor, kind_of(tensor, args)) for tensor in reader.tensors if layer_of(tensor) < layers]
    for tensor, kind in plan:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        shape = [int(n) for n in reversed(tensor.shape)]
        shape[-1] = shape[-1] // block * size
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), int(np.prod(shape)), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, kind in plan:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        values = np.ascontiguousarray(values.reshape(-1, int(tensor.shape[0])))
        writer.write_tensor_data(quantize(base, values, kind))
    writer.close()


if __name__ == "__main__":
    main()
