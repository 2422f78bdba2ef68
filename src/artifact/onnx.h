/* Weights out of an ONNX file, as safetensors.
 *
 * An ONNX file is a graph with its constants; Croft has passes of its own and wants only these.
 * What PyTorch exports keeps the names of biases, norms and tables, but not those of the matrices
 * of linear layers, which are folded into products: x W', transposed, named "onnx::MatMul_1525".
 * Such a matrix gets its name from the bias that is added to the product ("a.b.bias" ->
 * "a.b.weight"), and is turned back. Values are not changed.
 *
 * Quantised exports, weights in other files, and a matrix that nothing names are ERR_UNSUPPORTED;
 * what is no ONNX file is ERR_CORRUPT. */
#ifndef ARTIFACT_ONNX_H
#define ARTIFACT_ONNX_H
#include "base/str.h"

/* Takes the next bytes of the safetensors file. */
typedef enum err (*onnx_write_fn)(void *ctx, struct str bytes, struct errtext *et);

/* `onnx` is the file's content (mapped); `name` stands in errors. */
enum err onnx_to_safetensors(struct str onnx, const char *name, onnx_write_fn write, void *ctx,
	struct errtext *et) MUST_CHECK;

#endif
