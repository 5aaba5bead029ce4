#include "tests/va/softva_env.h"

#include <cstdlib>

namespace kine {

SoftVaEnv::SoftVaEnv(const Settings& settings) {
  SetVariable("LIBVA_DRIVER_NAME", "softva");
  SetVariable("LIBVA_DRIVERS_PATH", TestPath("softva"));
  SetVariable("LIBVA_MESSAGING_LEVEL", "0");
  Set("COMPLAINTS", File("complaints"));
  Set("TRACE", File("trace"));
  for (const auto& [name, value] : settings) Set(name, value);
}

SoftVaEnv::~SoftVaEnv() {
  for (const std::string& name : variables_) unsetenv(name.c_str());
}

void SoftVaEnv::Set(const std::string& name, const std::string& value) {
  SetVariable("SOFTVA_" + name, value);
}

void SoftVaEnv::SetVariable(const std::string& name, const std::string& value) {
  setenv(name.c_str(), value.c_str(), /*overwrite=*/1);
  variables_.push_back(name);
}

std::string SoftVaEnv::FakeDrmLibrary() {
  return TestPath("softva/fake_drm.so");
}

}  // namespace kine
