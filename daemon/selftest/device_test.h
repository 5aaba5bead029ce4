// TestDevice: one encoder, from its opening to decoded pictures.
//
//   opening -> encoding -> decoding -> passed
//
// Blocks, as long as driver and decoder do: run it in a process that may be
// killed. Any one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/doctor/self_test_report.h"
#include "encode/encoder.h"

namespace kine {

struct DeviceTestSteps {
  // Fills in what is known of the device before anything is tried.
  // UNIMPLEMENTED, NOT_FOUND and PERMISSION_DENIED: there is nothing to test.
  // Empty: nothing to ask.
  std::function<absl::Status(SelfTestDevice&)> describe;
  // The same for an encoder that is not there (UNIMPLEMENTED), when there is
  // nothing to describe.
  std::function<absl::StatusOr<std::unique_ptr<Encoder>>(const EncoderConfig&)>
      open;
  // Every picture of the MP4 in `fd`, as I420, one after the other. NOT_FOUND:
  // there is no decoder.
  std::function<absl::StatusOr<std::string>(int fd)> decode;
  // At the start of each stage: what there is to report if it never ends.
  std::function<void(const SelfTestDevice&)> on_stage;
};

// Fills in all but `device.device`.
void TestDevice(const DeviceTestSteps& steps, SelfTestDevice& device);

// The steps of "software" and of a render node.
DeviceTestSteps StepsFor(const std::string& device);

}  // namespace kine
