#include <unlabel/augment/codec/decoders.h>
#include <unlabel/augment/codec/levels.h>

#include <png.h>

#include <bit>
#include <csetjmp>
#include <cstring>
#include <new>

namespace unlabel::augment {

namespace {

using Byte = std::uint8_t;

/// libpng's state and its callbacks. As in decode_jpeg.cpp, an error is a jump: the functions that call setjmp hold
/// plain values only.
class PngReader {
 public:
  explicit PngReader(std::span<const Byte> bytes) : rest_(bytes) {}
  ~PngReader() {
    if (png_) png_destroy_read_struct(&png_, &info_, nullptr);
  }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  bool read_header() {
    png_ = png_create_read_struct_2(
        PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {}, this, allocate,
        [](png_structp, png_voidp bytes) { std::free(bytes); });
    if (!png_) return false;
    if (setjmp(jump_)) return false;
    info_ = png_create_info_struct(png_);
    if (!info_) return false;
    png_set_read_fn(png_, this, read);
    png_set_user_limits(png_, 0x7FFFFFFF, 0x7FFFFFFF);
    png_set_chunk_malloc_max(png_, 8000000);
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
    // Metadata is skipped, so that errors in it do not matter.
    static const Byte kSkipped[] =
        "iCCP\0sRGB\0gAMA\0cHRM\0tEXt\0zTXt\0iTXt\0eXIf\0sPLT\0hIST\0pCAL\0sCAL\0tIME\0pHYs\0oFFs\0bKGD\0sBIT";
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, kSkipped, static_cast<int>(sizeof(kSkipped) / 5));
    png_read_info(png_, info_);
    return true;
  }

  /// After read_header: reads RGB of 8 bits, or of 16 where the file has 16. `rows` are the image's row pointers.
  bool read_pixels(Byte** rows) {
    if (setjmp(jump_)) return false;
    png_set_expand(png_);
    if (deep() && std::endian::native == std::endian::little) png_set_swap(png_);
    png_set_strip_alpha(png_);
    const int color = png_get_color_type(png_, info_);
    if (color == PNG_COLOR_TYPE_GRAY || color == PNG_COLOR_TYPE_GRAY_ALPHA) png_set_gray_to_rgb(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    if (png_get_rowbytes(png_, info_) != std::size_t{3} * (deep() ? 2 : 1) * width())
      return failed("an unexpected row length");
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

  bool deep() const { return png_get_bit_depth(png_, info_) == 16; }
  int width() const { return static_cast<int>(png_get_image_width(png_, info_)); }
  int height() const { return static_cast<int>(png_get_image_height(png_, info_)); }

  /// Throws for what read_header or read_pixels has failed at.
  [[noreturn]] void fail() const {
    if (out_of_memory_) throw std::bad_alloc();
    throw Error("cannot decode PNG: ", message_);
  }

 private:
  bool failed(const char* message) {
    std::snprintf(message_, sizeof(message_), "%s", message);
    return false;
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<PngReader*>(png_get_error_ptr(png));
    self->failed(message);
    std::longjmp(self->jump_, 1);
  }

  /// libpng's messages do not distinguish exhausted memory from a limit that was set above.
  static png_voidp allocate(png_structp png, png_alloc_size_t size) {
    void* bytes = std::malloc(size);
    if (!bytes) static_cast<PngReader*>(png_get_mem_ptr(png))->out_of_memory_ = true;
    return bytes;
  }

  static void read(png_structp png, png_bytep to, png_size_t count) {
    auto* self = static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > self->rest_.size()) png_error(png, "the file is truncated");
    std::memcpy(to, self->rest_.data(), count);
    self->rest_ = self->rest_.subspan(count);
  }

  std::span<const Byte> rest_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_;
  char message_[128] = "";
  bool out_of_memory_ = false;
};

}  // namespace

cv::Mat decode_png(std::span<const std::uint8_t> bytes, const DecodeOptions& options, DecodeReport* report) {
  PngReader reader(bytes);
  if (!reader.read_header()) reader.fail();
  const int width = reader.width(), height = reader.height();
  check_pixels({width, height}, options.max_pixels);
  // Deflate packs at most 1032 to 1, and a pixel is a bit or more: refuse what cannot be whole before allocating its
  // pixels.
  if (std::int64_t{width} * height / 8 / 1032 > static_cast<std::int64_t>(bytes.size()))
    throw Error("cannot decode PNG: the file is truncated");
  const bool deep = reader.deep();  // read_pixels changes what libpng says of it
  cv::Mat image(height, width, deep ? CV_16UC3 : CV_8UC3);
  std::vector<Byte*> rows(height);
  for (int y = 0; y < height; ++y) rows[y] = image.ptr(y);
  if (!reader.read_pixels(rows.data())) reader.fail();
  return deep ? to_rgb8(image, options.range, report) : image;
}

}  // namespace unlabel::augment
