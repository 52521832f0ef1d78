"""Export a fine-tuned encoder to `corpus/model`: int8 ONNX (mean pooling and normalisation inside), tokenizer, and model.json.

python training/export_model.py --base MODEL_FOLDER --weights model.safetensors --out corpus/model [--fp32 FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.torch import load_file
from transformers import AutoModel


class Encoder(torch.nn.Module):
    """Token vectors, mean over the attended ones, unit length."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).float()
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fp32", type=Path, help="Keep the float32 ONNX model here, for comparison.")
    arguments = parser.parse_args()
    model = AutoModel.from_pretrained(arguments.base, dtype=torch.float32, attn_implementation="eager")
    weights = {name: value.float() if value.is_floating_point() else value for name, value in load_file(arguments.weights).items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all("position_ids" in name or "pooler" in name for name in missing), (missing, unexpected)
    encoder = Encoder(model).eval()
    ids, mask = torch.randint(1000, 20000, (2, 16)), torch.ones(2, 16, dtype=torch.long)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.onnx"
        axes = {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask")}
        torch.onnx.export(
            encoder,
            (ids, mask),
            str(full),
            input_names=["input_ids", "attention_mask"],
            output_names=["embedding"],
            dynamic_axes={**axes, "embedding": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
        quantize_dynamic(
            full, arguments.out / "model.onnx", weight_type=QuantType.QInt8, per_channel=True, extra_options={"DefaultTensorType": 1}
        )
        if arguments.fp32:
            shutil.copy(full, arguments.fp32)
        ids, mask = torch.randint(1000, 20000, (4, 21)), torch.ones(4, 21, dtype=torch.long)
        mask[1, 9:] = 0
        with torch.no_grad():
            expected = encoder(ids, mask).numpy()
        for path in (full, arguments.out / "model.onnx"):
            found = onnxruntime.InferenceSession(str(path)).run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
            print(path.name, path.stat().st_size, "smallest cosine to torch", float((np.asarray(found) * expected).sum(1).min()))
    shutil.copy(arguments.base / "tokenizer.json", arguments.out / "tokenizer.json")
    digest = hashlib.sha256((arguments.out / "model.onnx").read_bytes()).hexdigest()
    info = {
        "id": f"minilm-l6-kernels-int8-{digest[:12]}",
        "base": "sentence-transformers/all-MiniLM-L6-v2",
        "licence": "Apache-2.0",
        "dimension": 384,
        "sha256": digest,
    }
    (arguments.out / "model.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
