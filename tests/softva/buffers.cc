#include <algorithm>
#include <cstring>

#include "tests/softva/driver.h"
#include "tests/softva/entries.h"

namespace kine::softva {
namespace {

bool IsSupported(VABufferType type) {
  switch (type) {
    case VAEncCodedBufferType:
    case VAEncSequenceParameterBufferType:
    case VAEncPictureParameterBufferType:
    case VAEncSliceParameterBufferType:
    case VAEncPackedHeaderParameterBufferType:
    case VAEncPackedHeaderDataBufferType:
    case VAEncMiscParameterBufferType:
    case VAProcPipelineParameterBufferType:
    case VAImageBufferType:
      return true;
    default:
      return false;
  }
}

// iHD reports pictures in the order of their submission only. A client that had
// an error may leave a picture behind.
void CheckOrder(Driver& driver, const Buffer& buffer) {
  if (!driver.settings.faults.empty()) return;
  for (const auto& [id, other] : driver.buffers) {
    if (other->submission != 0 && other->submission < buffer.submission &&
        other->completion->Wait(0).value_or(VA_STATUS_SUCCESS) ==
            VA_STATUS_SUCCESS)
      driver.Complain(
          "coded buffer of picture %llu is mapped before that of "
          "picture %llu",
          static_cast<unsigned long long>(buffer.submission),
          static_cast<unsigned long long>(other->submission));
  }
}

VAStatus MapCoded(Entry& entry, const BufferPtr& buffer, void** out) {
  if (buffer->completion == nullptr)
    entry.driver.Complain("a coded buffer is mapped that nothing was coded to");
  if (buffer->submission != 0) CheckOrder(entry.driver, *buffer);
  WaitFor(entry, buffer->completion, VA_TIMEOUT_INFINITE);
  buffer->submission = 0;
  if (buffer->map_status != VA_STATUS_SUCCESS) return buffer->map_status;
  buffer->segments.assign(std::max<size_t>(buffer->coded.size(), 1), {});
  for (size_t i = 0; i < buffer->segments.size(); ++i) {
    VACodedBufferSegment& segment = buffer->segments[i];
    segment.status = buffer->coded_status;
    if (i < buffer->coded.size()) {
      segment.buf = buffer->coded[i].data();
      segment.size = static_cast<uint32_t>(buffer->coded[i].size());
    }
    if (i + 1 < buffer->segments.size())
      segment.next = &buffer->segments[i + 1];
  }
  *out = buffer->segments.data();
  return VA_STATUS_SUCCESS;
}

}  // namespace

VAStatus CreateBuffer(VADriverContextP context, VAContextID context_id,
                      VABufferType type, unsigned size, unsigned elements,
                      void* data, VABufferID* id) {
  const Entry entry(context, "CreateBuffer");
  if (entry.failed()) return entry.status;
  if (Find(entry.driver.contexts, context_id) == nullptr)
    return VA_STATUS_ERROR_INVALID_CONTEXT;
  if (!IsSupported(type)) return VA_STATUS_ERROR_UNSUPPORTED_BUFFERTYPE;
  auto buffer = std::make_shared<Buffer>();
  buffer->type = type;
  buffer->size = size;
  buffer->elements = elements;
  if (type != VAEncCodedBufferType)
    buffer->data.resize(size_t{size} * elements);
  if (data != nullptr && !buffer->data.empty())
    std::memcpy(buffer->data.data(), data, buffer->data.size());
  *id = entry.driver.NewId(kBufferId);
  entry.driver.buffers[*id] = buffer;
  return VA_STATUS_SUCCESS;
}

VAStatus BufferSetNumElements(VADriverContextP context, VABufferID id,
                              unsigned elements) {
  const Entry entry(context, "BufferSetNumElements");
  if (entry.failed()) return entry.status;
  const BufferPtr* const buffer = Find(entry.driver.buffers, id);
  if (buffer == nullptr) return VA_STATUS_ERROR_INVALID_BUFFER;
  if (elements > (*buffer)->elements) return VA_STATUS_ERROR_INVALID_PARAMETER;
  (*buffer)->elements = elements;
  return VA_STATUS_SUCCESS;
}

VAStatus BufferInfo(VADriverContextP context, VABufferID id, VABufferType* type,
                    unsigned* size, unsigned* elements) {
  const Entry entry(context, "BufferInfo");
  if (entry.failed()) return entry.status;
  const BufferPtr* const buffer = Find(entry.driver.buffers, id);
  if (buffer == nullptr) return VA_STATUS_ERROR_INVALID_BUFFER;
  *type = (*buffer)->type;
  *size = (*buffer)->size;
  *elements = (*buffer)->elements;
  return VA_STATUS_SUCCESS;
}

VAStatus MapBuffer(VADriverContextP context, VABufferID id, void** out) {
  Entry entry(context, "MapBuffer");
  if (entry.failed()) return entry.status;
  const BufferPtr* const found = Find(entry.driver.buffers, id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_BUFFER;
  const BufferPtr buffer = *found;  // The lock is let go of.
  if (buffer->type == VAEncCodedBufferType) {
    const VAStatus status = MapCoded(entry, buffer, out);
    if (status != VA_STATUS_SUCCESS) return status;
  } else if (buffer->derived_from != nullptr) {
    WaitFor(entry, buffer->derived_from->completion, VA_TIMEOUT_INFINITE);
    *out = buffer->derived_from->memory[0]->data();
  } else {
    *out = buffer->data.data();
  }
  ++buffer->mapped;
  return VA_STATUS_SUCCESS;
}

VAStatus UnmapBuffer(VADriverContextP context, VABufferID id) {
  const Entry entry(context, "UnmapBuffer");
  const BufferPtr* const buffer = Find(entry.driver.buffers, id);
  if (buffer == nullptr) return VA_STATUS_ERROR_INVALID_BUFFER;
  if ((*buffer)->mapped == 0) {
    entry.driver.Complain("a buffer is unmapped that is not mapped");
    return VA_STATUS_ERROR_INVALID_BUFFER;
  }
  --(*buffer)->mapped;
  return entry.status;
}

VAStatus DestroyBuffer(VADriverContextP context, VABufferID id) {
  const Entry entry(context, "DestroyBuffer");
  const BufferPtr* const found = Find(entry.driver.buffers, id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_BUFFER;
  const Buffer& buffer = **found;
  if (buffer.mapped > 0)
    entry.driver.Complain("buffer 0x%x is destroyed while it is mapped", id);
  if (buffer.completion != nullptr && !buffer.completion->done() &&
      !entry.driver.hung())
    entry.driver.Complain("coded buffer 0x%x is destroyed while it is coded to",
                          id);
  entry.driver.buffers.erase(id);
  return entry.status;
}

VAStatus SyncBuffer(VADriverContextP context, VABufferID id,
                    uint64_t timeout_ns) {
  Entry entry(context, "SyncBuffer");
  if (!entry.driver.settings.sync_buffer) return VA_STATUS_ERROR_UNIMPLEMENTED;
  const BufferPtr* const buffer = Find(entry.driver.buffers, id);
  if (buffer == nullptr) return VA_STATUS_ERROR_INVALID_BUFFER;
  // Waits although it fails: the client cannot do more than ask.
  const VAStatus status = WaitFor(entry, (*buffer)->completion, timeout_ns);
  return entry.failed() ? entry.status : status;
}

}  // namespace kine::softva
