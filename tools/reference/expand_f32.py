"""The same model with every weight written out as a 32-bit float: the yardstick for quantised arithmetic.

    python3 tools/reference/expand_f32.py MODEL.gguf OUT.gguf

Needs the PyPI package `gguf`. Metadata is copied as it is, but for the file type.
"""

import sys

import gguf
import numpy as np


def copy_metadata(reader, writer, file_type, replaced=None):
    skip = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture", "general.file_type"}
    for name, field in reader.fields.items():
        if name in skip:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = (replaced or {}).get(name, field.contents())
        writer.add_key_value(name, value, kind, sub_type=inner)
    writer.add_file_type(file_type)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    reader = gguf.GGUFReader(sys.argv[1])
    writer = gguf.GGUFWriter(sys.argv[2], reader.fields["general.architecture"].contents())
    copy_metadata(reader, writer, gguf.LlamaFileType.ALL_F32)
    shapes = [tuple(int(n) for n in reversed(tensor.shape)) for tensor in reader.tensors]
    for tensor, shape in zip(reader.tensors, shapes):
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), int(np.prod(shape)) * 4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, shape in zip(reader.tensors, shapes):
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        writer.write_tensor_data(np.ascontiguousarray(values))
    writer.close()


if __name__ == "__main__":
    main()
