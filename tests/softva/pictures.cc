#include "tests/softva/pictures.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/softva/driver.h"
#include "tests/softva/entries.h"

namespace kine::softva {
namespace {

bool AddSlices(Driver& driver, const Buffer& buffer, PictureInput& input) {
  for (uint32_t i = 0; i < buffer.elements; ++i) {
    Slice slice;
    if (!Read(driver, buffer, size_t{i} * buffer.size, slice.parameters))
      return false;
    input.items.push_back(PictureInput::kSliceItem + input.slices.size());
    input.slices.push_back(slice);
  }
  return true;
}

bool AddPacked(Driver& driver, const Buffer& buffer, PictureInput& input) {
  if (!input.packed_announced) {
    driver.Complain("packed header data come without their parameters");
    return false;
  }
  input.packed_announced = false;
  PackedHeader header;
  header.type = input.announced.type;
  header.bits = input.announced.bit_length;
  header.has_emulation_bytes = input.announced.has_emulation_bytes != 0;
  header.data = buffer.data;
  const size_t bytes = (size_t{header.bits} + 7) / 8;
  if (bytes > header.data.size() || bytes == 0) {
    driver.Complain("a packed header has %u bits in %zu bytes", header.bits,
                    header.data.size());
    return false;
  }
  header.data.resize(bytes);
  // A slice's header goes out with its slice.
  if (header.type != VAEncPackedHeaderSlice)
    input.items.push_back(input.packed.size());
  input.packed.push_back(std::move(header));
  return true;
}

bool ReadPipeline(Driver& driver, const Buffer& buffer, PictureInput& input) {
  if (!Read(driver, buffer, 0, input.pipeline)) return false;
  input.has_pipeline = true;
  input.input_region = input.output_region = {};
  if (input.pipeline.surface_region != nullptr)
    input.input_region = *input.pipeline.surface_region;
  if (input.pipeline.output_region != nullptr)
    input.output_region = *input.pipeline.output_region;
  return true;
}

bool Render(Driver& driver, const Buffer& buffer, Context& context) {
  PictureInput& input = context.input;
  switch (buffer.type) {
    case VAEncSequenceParameterBufferType:
      context.has_sequence = input.new_sequence = true;
      return Read(driver, buffer, 0, context.sequence);
    case VAEncPictureParameterBufferType:
      input.has_parameters = true;
      return Read(driver, buffer, 0, input.parameters);
    case VAEncSliceParameterBufferType:
      return AddSlices(driver, buffer, input);
    case VAEncPackedHeaderParameterBufferType:
      if (input.packed_announced)
        driver.Complain("packed header parameters come without their data");
      input.packed_announced = true;
      return Read(driver, buffer, 0, input.announced);
    case VAEncPackedHeaderDataBufferType:
      return AddPacked(driver, buffer, input);
    case VAEncMiscParameterBufferType:
      return ReadMisc(driver, buffer, context);
    case VAProcPipelineParameterBufferType:
      return ReadPipeline(driver, buffer, input);
    default:
      driver.Complain("a buffer of type %d is rendered", buffer.type);
      return false;
  }
}

}  // namespace

VAStatus CreateContext(VADriverContextP context, VAConfigID config_id,
                       int width, int height, int /*flag*/, VASurfaceID*,
                       int /*surfaces*/, VAContextID* id) {
  const Entry entry(context, "CreateContext");
  if (entry.failed()) return entry.status;
  Driver& driver = entry.driver;
  const Config* const config = Find(driver.configs, config_id);
  if (config == nullptr) return VA_STATUS_ERROR_INVALID_CONFIG;
  const bool encodes = config->profile != VAProfileNone;
  const int max_size = static_cast<int>(driver.settings.max_size);
  if (width > max_size || height > max_size ||
      (encodes && (width < 16 || height < 16)))
    return VA_STATUS_ERROR_RESOLUTION_NOT_SUPPORTED;
  auto made = std::make_shared<Context>();
  made->config = *config;
  made->width = static_cast<uint32_t>(width);
  made->height = static_cast<uint32_t>(height);
  *id = driver.NewId(kContextId);
  driver.contexts[*id] = made;
  driver.Log("CreateContext %dx%d", width, height);
  return VA_STATUS_SUCCESS;
}

VAStatus DestroyContext(VADriverContextP context, VAContextID id) {
  const Entry entry(context, "DestroyContext");
  const ContextPtr* const found = Find(entry.driver.contexts, id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_CONTEXT;
  entry.driver.Log("DestroyContext pictures=%llu",
                   static_cast<unsigned long long>((*found)->pictures));
  entry.driver.contexts.erase(id);
  return entry.status;
}

VAStatus BeginPicture(VADriverContextP context, VAContextID id,
                      VASurfaceID target) {
  const Entry entry(context, "BeginPicture");
  if (entry.failed()) return entry.status;
  const ContextPtr* const found = Find(entry.driver.contexts, id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_CONTEXT;
  if (Find(entry.driver.surfaces, target) == nullptr)
    return VA_STATUS_ERROR_INVALID_SURFACE;
  Context& encoded = **found;
  if (encoded.in_picture)
    entry.driver.Complain("vaBeginPicture inside of a picture");
  encoded.in_picture = true;
  encoded.input = PictureInput();
  encoded.input.target = target;
  return VA_STATUS_SUCCESS;
}

VAStatus RenderPicture(VADriverContextP context, VAContextID id,
                       VABufferID* list, int count) {
  const Entry entry(context, "RenderPicture");
  Driver& driver = entry.driver;
  const ContextPtr* const found = Find(driver.contexts, id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_CONTEXT;
  Context& rendered = **found;
  if (entry.failed()) {
    rendered.input.broken = true;
    return entry.status;
  }
  if (!rendered.in_picture) {
    driver.Complain("vaRenderPicture outside of a picture");
    return VA_STATUS_ERROR_OPERATION_FAILED;
  }
  for (int i = 0; i < count; ++i) {
    const BufferPtr* const buffer = Find(driver.buffers, list[i]);
    if (buffer == nullptr) return VA_STATUS_ERROR_INVALID_BUFFER;
    if ((*buffer)->mapped > 0)
      driver.Complain("a buffer is rendered while it is mapped");
    if (!Render(driver, **buffer, rendered))
      return VA_STATUS_ERROR_INVALID_PARAMETER;
  }
  return VA_STATUS_SUCCESS;
}

VAStatus EndPicture(VADriverContextP context, VAContextID id) {
  const Entry entry(context, "EndPicture");
  Driver& driver = entry.driver;
  const ContextPtr* const found = Find(driver.contexts, id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_CONTEXT;
  Context& ended = **found;
  const bool was_open = std::exchange(ended.in_picture, false);
  if (entry.failed()) return entry.status;
  if (!was_open || ended.input.broken) return VA_STATUS_ERROR_OPERATION_FAILED;
  if (Find(driver.surfaces, ended.input.target) == nullptr)
    return VA_STATUS_ERROR_INVALID_SURFACE;
  Submission submission;
  const VAStatus status = ended.config.entrypoint == VAEntrypointVideoProc
                              ? PrepareProcessing(driver, ended, submission)
                              : PrepareEncode(driver, ended, submission);
  if (status != VA_STATUS_SUCCESS) {
    driver.Log("EndPicture -> 0x%x", static_cast<unsigned>(status));
    return status;
  }
  const CompletionPtr completion =
      driver.worker->Submit(std::move(submission.work), driver.HangsNow());
  for (const SurfacePtr& surface : submission.surfaces)
    surface->completion = completion;
  if (submission.coded != nullptr) {
    submission.coded->completion = completion;
    submission.coded->submission = ++driver.submissions;
  }
  return VA_STATUS_SUCCESS;
}

}  // namespace kine::softva
