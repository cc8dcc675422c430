#include <unlabel/augment/codec/decoders.h>

#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <new>

namespace unlabel::augment {

namespace {

using Byte = std::uint8_t;

constexpr int kMaxScans = 500;  // a progressive file of thousands of empty scans would decode for hours

/// libjpeg's state and its callbacks. libjpeg reports an error by a jump out of the call, which must skip no
/// destructor: the functions that call setjmp hold plain values only, and everything with a destructor lives outside of
/// them.
class JpegReader {
 public:
  explicit JpegReader(std::span<const Byte> bytes) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = [](j_common_ptr info) {
      auto* errors = reinterpret_cast<Errors*>(info->err);
      info->err->format_message(info, errors->message);
      errors->out_of_memory = info->err->msg_code == JERR_OUT_OF_MEMORY;
      std::longjmp(errors->jump, 1);
    };
    errors_.base.emit_message = [](j_common_ptr info, int level) {
      auto* errors = reinterpret_cast<Errors*>(info->err);
      if (level >= 0) return;
      if (info->err->num_warnings++ == 0) info->err->format_message(info, errors->message);
    };
    errors_.base.output_message = [](j_common_ptr) {};
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
    source_.init_source = [](j_decompress_ptr) {};
    source_.term_source = [](j_decompress_ptr) {};
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.fill_input_buffer = [](j_decompress_ptr info) -> boolean { fail_truncated(info); };
    source_.skip_input_data = [](j_decompress_ptr info, long count) {
      if (count <= 0) return;
      if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) fail_truncated(info);
      info->src->next_input_byte += count;
      info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
    };
    progress_.progress_monitor = [](j_common_ptr info) {
      auto* decompress = reinterpret_cast<j_decompress_ptr>(info);
      if (decompress->input_scan_number <= kMaxScans) return;
      std::snprintf(reinterpret_cast<Errors*>(info->err)->message, JMSG_LENGTH_MAX, "more than %d scans", kMaxScans);
      std::longjmp(reinterpret_cast<Errors*>(info->err)->jump, 1);
    };
  }

  ~JpegReader() {
    if (created_) jpeg_destroy_decompress(&info_);
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  bool read_header() {
    if (setjmp(errors_.jump)) return false;
    jpeg_create_decompress(&info_);
    created_ = true;
    info_.src = &source_;
    info_.progress = &progress_;
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  /// Reads all rows: `channels` bytes a pixel, `stride` bytes a row.
  bool read_pixels(J_COLOR_SPACE color, Byte* pixels, std::size_t stride) {
    if (setjmp(errors_.jump)) return false;
    info_.out_color_space = color;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = pixels + stride * info_.output_scanline;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  /// Whether the planes can be read as they are: of whole fractions of the image's size, the two colors alike.
  bool has_planes() const {
    if (info_.num_components == 1) return info_.jpeg_color_space == JCS_GRAYSCALE;
    if (info_.num_components != 3 || (info_.jpeg_color_space != JCS_YCbCr && info_.jpeg_color_space != JCS_RGB))
      return false;
    for (int i = 0; i < 3; ++i)
      if (info_.max_h_samp_factor % info_.comp_info[i].h_samp_factor != 0 ||
          info_.max_v_samp_factor % info_.comp_info[i].v_samp_factor != 0)
        return false;
    return info_.comp_info[1].h_samp_factor == info_.comp_info[2].h_samp_factor &&
           info_.comp_info[1].v_samp_factor == info_.comp_info[2].v_samp_factor;
  }

  /// Sets the places of the planes, each with room for the whole blocks that libjpeg writes.
  void describe_planes(PlanarImage& out) const {
    out.size = {width(), height()};
    out.colors = info_.num_components == 1           ? PlanarImage::Colors::kGray
                 : info_.jpeg_color_space == JCS_RGB ? PlanarImage::Colors::kRgb
                                                     : PlanarImage::Colors::kYCbCr;
    std::array<int, 3> rows{};
    const int bands = (height() + info_.max_v_samp_factor * DCTSIZE - 1) / (info_.max_v_samp_factor * DCTSIZE);
    for (int i = 0; i < info_.num_components; ++i) {
      const auto& component = info_.comp_info[i];
      const int step_x = info_.max_h_samp_factor / component.h_samp_factor,
                step_y = info_.max_v_samp_factor / component.v_samp_factor;
      const int columns = (width() + step_x - 1) / step_x;
      // Which of its upsamplings libjpeg takes (jdsample.c): other steps, and rows of one or two samples, it repeats.
      const bool smooth = step_x == 2 && step_y <= 2 && columns > 2;
      out.planes[i] = {.stride = static_cast<int>(component.width_in_blocks) * DCTSIZE,
                       .width = columns,
                       .height = (height() + step_y - 1) / step_y,
                       .step_x = step_x,
                       .step_y = step_y,
                       .smooth_x = smooth,
                       .smooth_y = step_y == 2 && (smooth || step_x == 1)};
      rows[i] = bands * component.v_samp_factor * DCTSIZE;
    }
    out.place(info_.num_components, rows);
  }

  /// Reads all rows of planes that describe_planes has placed.
  bool read_planes(PlanarImage& out) {
    JSAMPROW rows[3][MAX_SAMP_FACTOR * DCTSIZE];
    JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};
    if (setjmp(errors_.jump)) return false;
    info_.raw_data_out = TRUE;
    info_.out_color_space = info_.jpeg_color_space;
    jpeg_start_decompress(&info_);
    for (int band = 0; info_.output_scanline < info_.output_height; ++band) {
      for (int i = 0; i < info_.num_components; ++i) {
        const int count = info_.comp_info[i].v_samp_factor * DCTSIZE;
        for (int y = 0; y < count; ++y)
          rows[i][y] = out.data(i) + (std::ptrdiff_t{band} * count + y) * out.planes[i].stride;
      }
      jpeg_read_raw_data(&info_, planes, info_.max_v_samp_factor * DCTSIZE);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  int width() const { return static_cast<int>(info_.image_width); }
  int height() const { return static_cast<int>(info_.image_height); }
  int components() const { return info_.num_components; }
  bool arithmetic() const { return info_.arith_code; }
  bool cmyk() const { return info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK; }
  long warnings() const { return errors_.base.num_warnings; }

  /// Throws for what read_header, read_pixels or read_planes has failed at.
  [[noreturn]] void fail() const {
    if (errors_.out_of_memory) throw std::bad_alloc();
    throw Error("cannot decode JPEG: ", errors_.message);
  }

 private:
  struct Errors {
    jpeg_error_mgr base;  // first: libjpeg hands back a pointer to it
    std::jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
    bool out_of_memory;
  };

  [[noreturn]] static void fail_truncated(j_decompress_ptr info) {
    auto* errors = reinterpret_cast<Errors*>(info->err);
    std::strcpy(errors->message, "the file is truncated");
    std::longjmp(errors->jump, 1);
  }

  jpeg_decompress_struct info_{};
  jpeg_source_mgr source_{};
  jpeg_progress_mgr progress_{};
  Errors errors_{};
  bool created_ = false;
};

/// Adobe's inverted CMYK to RGB in Pillow's integers: ink c over key k leaves (255 - k)(255 - c) / 255.
void convert_cmyk_row(const Byte* in, int width, Byte* out) {
  for (int x = 0; x < width; ++x, in += 4, out += 3) {
    const int light = in[3];
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - in[c]) * light + 128;
      out[c] = static_cast<Byte>(std::clamp(light - ((product + (product >> 8)) >> 8), 0, 255));
    }
  }
}

/// Reads the header and refuses what must not be decoded.
void open(JpegReader& reader, std::span<const std::uint8_t> bytes, std::int64_t max_pixels) {
  if (!reader.read_header()) reader.fail();
  const int width = reader.width(), height = reader.height();
  const std::int64_t pixels = std::int64_t{width} * height;
  check_pixels({width, height}, max_pixels);
  // Huffman codes spend a bit or more on every 8 x 8 block, so a file much shorter than that cannot be whole: refuse it
  // before allocating its pixels.
  if (!reader.arithmetic() && pixels / 512 > static_cast<std::int64_t>(bytes.size()))
    throw Error("cannot decode JPEG: the file is truncated");
  if (reader.components() == 2 || reader.components() > 4)
    throw Error("cannot decode JPEG: ", reader.components(), " components");
}

void check_end(const JpegReader& reader, bool whole, const DecodeOptions& options, DecodeReport* report) {
  if (!whole || (options.strict && reader.warnings() > 0)) reader.fail();
  if (report) report->warnings += reader.warnings();
}

}  // namespace

cv::Mat decode_jpeg(std::span<const std::uint8_t> bytes, const DecodeOptions& options, DecodeReport* report) {
  JpegReader reader(bytes);
  open(reader, bytes, options.max_pixels);
  const int width = reader.width(), height = reader.height();
  cv::Mat rgb(height, width, CV_8UC3);
  bool ok;
  if (reader.cmyk()) {
    cv::Mat cmyk(height, width, CV_8UC4);
    ok = reader.read_pixels(JCS_CMYK, cmyk.data, cmyk.step);
    for (int y = 0; ok && y < height; ++y) convert_cmyk_row(cmyk.ptr(y), width, rgb.ptr(y));
  } else {
    ok = reader.read_pixels(JCS_RGB, rgb.data, rgb.step);
  }
  check_end(reader, ok, options, report);
  return rgb;
}

bool decode_jpeg_planes(std::span<const std::uint8_t> bytes, const DecodeOptions& options, PlanarImage& out,
                        DecodeReport& report) {
  JpegReader reader(bytes);
  open(reader, bytes, options.max_pixels);
  if (!reader.has_planes()) return false;
  reader.describe_planes(out);
  check_end(reader, reader.read_planes(out), options, &report);
  return true;
}

}  // namespace unlabel::augment
