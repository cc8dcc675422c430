#include <unlabel/augment/error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/eval/report/npy.h>

#include <torch/types.h>

#include <string>

namespace unlabel::eval {
namespace {

const char* type_name(at::ScalarType type) {
  if (type == torch::kFloat32) return "<f4";
  if (type == torch::kFloat64) return "<f8";
  if (type == torch::kInt64) return "<i8";
  throw UsageError("a .npy file holds float32, float64 or int64, not ", type);
}

// Magic, version, length of the header, and a Python dictionary padded with spaces to a multiple of 64 bytes.
std::string header(const at::Tensor& tensor) {
  auto text = concat("{'descr': '", type_name(tensor.scalar_type()), "', 'fortran_order': False, 'shape': (");
  for (const auto size : tensor.sizes()) text += std::to_string(size) + ", ";
  text += "), }";
  text.append((64 - (10 + text.size() + 1) % 64) % 64, ' ');
  text += '\n';
  std::string result("\x93NUMPY\x01\x00", 8);
  result += static_cast<char>(text.size() & 0xff);
  result += static_cast<char>(text.size() >> 8);
  return result + text;
}

}  // namespace

void write_npy(const std::string& path, const at::Tensor& tensor) {
  data::AtomicFile file(path);
  write_npy(file, tensor);
  file.commit();
}

void write_npy(data::AtomicFile& file, const at::Tensor& tensor) {
  const auto data = tensor.detach().cpu().contiguous();
  file.write(header(data));
  file.write(data.const_data_ptr(), data.nbytes());
}

}  // namespace unlabel::eval
