#include <unlabel/augment/error.h>
#include <unlabel/eval/npy.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <torch/torch.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

namespace unlabel::eval {
namespace {

const char* type_name(at::ScalarType type) {
  if (type == torch::kFloat32) return "<f4";
  if (type == torch::kFloat64) return "<f8";
  if (type == torch::kInt64) return "<i8";
  throw UsageError("a .npy file is written of float32, float64 or int64, not of ", type);
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

void write_atomically(const std::string& path, std::string_view head, std::string_view body) {
  const auto temporary = concat(path, ".tmp-", ::getpid());
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) throw Error("cannot write ", path, ": ", std::strerror(errno));
  bool good = true;
  for (auto part : {head, body}) {
    while (good && !part.empty()) {
      const auto written = ::write(file, part.data(), std::min<std::size_t>(part.size(), 1 << 30));
      if (written < 0 && errno == EINTR) continue;
      good = written > 0;
      if (good) part.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  good = good && ::fsync(file) == 0;
  int reason = errno;
  if (::close(file) != 0 && good) {
    good = false;
    reason = errno;
  }
  if (good && ::rename(temporary.c_str(), path.c_str()) != 0) {
    good = false;
    reason = errno;
  }
  if (!good) {
    ::unlink(temporary.c_str());
    throw Error("cannot write ", path, ": ", std::strerror(reason));
  }
}

void write_npy(const std::string& path, const at::Tensor& tensor) {
  const auto data = tensor.detach().cpu().contiguous();
  write_atomically(path, header(data), {static_cast<const char*>(data.const_data_ptr()), data.nbytes()});
}

}  // namespace unlabel::eval
