#include <cstring>

#include "tests/softva/driver.h"
#include "tests/softva/entries.h"

namespace kine::softva {
namespace {

void AddImage(Driver& driver, const BufferPtr& buffer, VAImage* image) {
  buffer->type = VAImageBufferType;
  buffer->size = image->data_size;
  image->buf = driver.NewId(kBufferId);
  image->image_id = driver.NewId(kImageId);
  driver.buffers[image->buf] = buffer;
  driver.images[image->image_id] = *image;
}

struct Area {
  uint32_t surface_x;
  uint32_t surface_y;
  uint32_t image_x;
  uint32_t image_y;
  uint32_t width;
  uint32_t height;
};

// Between an image's memory and a surface, plane by plane.
void Copy(const VAImage& image, uint8_t* image_memory, const Surface& surface,
          const Area& area, bool to_surface) {
  const Format& format = *surface.format;
  for (uint32_t plane = 0; plane < format.planes; ++plane) {
    const uint32_t half = plane;  // Chroma lines are half as many.
    const size_t bytes =
        size_t{plane > 0 ? RoundUp(area.width, 2) : area.width} *
        format.bytes_per_pixel;
    const uint32_t rows = (area.height + half) >> half;
    for (uint32_t y = 0; y < rows; ++y) {
      uint8_t* const in_image =
          image_memory + image.offsets[plane] +
          size_t{(area.image_y >> half) + y} * image.pitches[plane] +
          size_t{area.image_x} * format.bytes_per_pixel;
      uint8_t* const in_surface =
          surface.Row(plane, (area.surface_y >> half) + y) +
          size_t{area.surface_x} * format.bytes_per_pixel;
      if (to_surface) {
        std::memcpy(in_surface, in_image, bytes);
      } else {
        std::memcpy(in_image, in_surface, bytes);
      }
    }
  }
}

VAStatus CopyImage(Entry& entry, VASurfaceID surface_id, VAImageID image_id,
                   const Area& area, bool to_surface) {
  Driver& driver = entry.driver;
  const SurfacePtr* const found = Find(driver.surfaces, surface_id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_SURFACE;
  const VAImage* const found_image = Find(driver.images, image_id);
  if (found_image == nullptr) return VA_STATUS_ERROR_INVALID_IMAGE;
  const SurfacePtr surface = *found;  // The lock is let go of.
  const VAImage image = *found_image;
  const BufferPtr buffer = driver.buffers[image.buf];
  if (image.format.fourcc != surface->format->fourcc)
    return VA_STATUS_ERROR_INVALID_IMAGE_FORMAT;
  if (area.image_x + area.width > image.width ||
      area.image_y + area.height > image.height ||
      area.surface_x + area.width > surface->width ||
      area.surface_y + area.height > surface->height) {
    driver.Complain("an image is copied beyond itself or its surface");
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  }
  if (to_surface && buffer->mapped > 0)
    driver.Complain("an image is put while it is mapped");
  WaitFor(entry, surface->completion, VA_TIMEOUT_INFINITE);
  uint8_t* const memory = buffer->derived_from != nullptr
                              ? buffer->derived_from->memory[0]->data()
                              : buffer->data.data();
  Copy(image, memory, *surface, area, to_surface);
  return VA_STATUS_SUCCESS;
}

}  // namespace

VAStatus QueryImageFormats(VADriverContextP context, VAImageFormat* list,
                           int* count) {
  const Entry entry(context, "QueryImageFormats");
  if (entry.failed()) return entry.status;
  *count = 0;
  for (const Format& format : Formats()) list[(*count)++] = ImageFormat(format);
  return VA_STATUS_SUCCESS;
}

VAStatus CreateImage(VADriverContextP context, VAImageFormat* image_format,
                     int width, int height, VAImage* image) {
  const Entry entry(context, "CreateImage");
  if (entry.failed()) return entry.status;
  const Format* const format = FindFormat(image_format->fourcc);
  if (format == nullptr) return VA_STATUS_ERROR_INVALID_IMAGE_FORMAT;
  *image = {};
  image->format = ImageFormat(*format);
  image->width = static_cast<uint16_t>(width);
  image->height = static_cast<uint16_t>(height);
  image->num_planes = format->planes;
  const uint32_t rows = RoundUp(image->height, 16);
  // As a surface's: GStreamer 1.22 takes the two for equal.
  image->pitches[0] = PitchOf(*format, image->width);
  image->data_size = image->pitches[0] * rows;
  if (!format->rgb()) {
    image->pitches[1] = image->pitches[0];
    image->offsets[1] = image->data_size;
    image->data_size += image->pitches[1] * (rows / 2);
  }
  auto buffer = std::make_shared<Buffer>();
  buffer->data.resize(image->data_size, 0x55);
  AddImage(entry.driver, buffer, image);
  entry.driver.Log("CreateImage %dx%d", width, height);
  return VA_STATUS_SUCCESS;
}

VAStatus DeriveImage(VADriverContextP context, VASurfaceID id, VAImage* image) {
  const Entry entry(context, "DeriveImage");
  if (entry.failed()) return entry.status;
  const SurfacePtr* const found = Find(entry.driver.surfaces, id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_SURFACE;
  const Surface& surface = **found;
  const Format& format = *surface.format;
  if (!entry.driver.settings.derive_image ||
      (!format.rgb() && surface.memory[0] != surface.memory[1]))
    return VA_STATUS_ERROR_OPERATION_FAILED;
  *image = {};
  image->format = ImageFormat(format);
  image->width = static_cast<uint16_t>(surface.width);
  image->height = static_cast<uint16_t>(surface.height);
  image->num_planes = format.planes;
  image->data_size = static_cast<uint32_t>(surface.memory[0]->size());
  for (uint32_t i = 0; i < format.planes; ++i) {
    image->pitches[i] = surface.pitch[i];
    image->offsets[i] = surface.offset[i];
  }
  auto buffer = std::make_shared<Buffer>();
  buffer->derived_from = *found;
  AddImage(entry.driver, buffer, image);
  entry.driver.Log("DeriveImage of 0x%x", id);
  return VA_STATUS_SUCCESS;
}

VAStatus DestroyImage(VADriverContextP context, VAImageID id) {
  const Entry entry(context, "DestroyImage");
  const VAImage* const image = Find(entry.driver.images, id);
  if (image == nullptr) return VA_STATUS_ERROR_INVALID_IMAGE;
  const BufferPtr* const buffer = Find(entry.driver.buffers, image->buf);
  if (buffer != nullptr && (*buffer)->mapped > 0)
    entry.driver.Complain("an image is destroyed while it is mapped");
  entry.driver.buffers.erase(image->buf);
  entry.driver.images.erase(id);
  return entry.status;
}

VAStatus GetImage(VADriverContextP context, VASurfaceID surface, int x, int y,
                  unsigned width, unsigned height, VAImageID image) {
  Entry entry(context, "GetImage");
  if (entry.failed()) return entry.status;
  if (x < 0 || y < 0) return VA_STATUS_ERROR_INVALID_PARAMETER;
  return CopyImage(
      entry, surface, image,
      {static_cast<uint32_t>(x), static_cast<uint32_t>(y), 0, 0, width, height},
      /*to_surface=*/false);
}

VAStatus PutImage(VADriverContextP context, VASurfaceID surface,
                  VAImageID image, int from_x, int from_y, unsigned from_width,
                  unsigned from_height, int to_x, int to_y, unsigned to_width,
                  unsigned to_height) {
  Entry entry(context, "PutImage");
  if (entry.failed()) return entry.status;
  if (from_width != to_width || from_height != to_height)
    return VA_STATUS_ERROR_UNIMPLEMENTED;
  if (from_x < 0 || from_y < 0 || to_x < 0 || to_y < 0)
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  return CopyImage(entry, surface, image,
                   {static_cast<uint32_t>(to_x), static_cast<uint32_t>(to_y),
                    static_cast<uint32_t>(from_x),
                    static_cast<uint32_t>(from_y), to_width, to_height},
                   /*to_surface=*/true);
}

}  // namespace kine::softva
