"""A file of every type we read, written by the reference implementation, for tests/ssl/weights/safetensors_test.cpp.

    python tests/golden/safetensors_file.py
"""
import pathlib

import torch
from safetensors.torch import save_file

types = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64,
         "i32": torch.int32, "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8}
tensors = {name: torch.arange(6).reshape(2, 3).to(dtype) for name, dtype in types.items()}
tensors["bool"] = torch.tensor([True, False, True])
tensors["scalar"] = torch.tensor(-2.5)
tensors["empty"] = torch.zeros(0, 4)
tensors["na\u00efve \"name\"\\"] = torch.tensor([1.0])
save_file(tensors, pathlib.Path(__file__).parent / "all_types.safetensors", metadata={"note": "caf\u00e9", "format": "pt"})
