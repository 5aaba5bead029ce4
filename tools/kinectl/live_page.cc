#include "tools/kinectl/live_page.h"

// The file as it is: a viewer can be worked on without C++ around it. Read when
// this is assembled; the Makefile knows.
__asm__(
    ".pushsection .rodata\n"
    "kinectl_live_page:\n"
    ".incbin \"tools/live_viewer.html\"\n"
    "kinectl_live_page_end:\n"
    ".popsection\n");
extern const char kPage[] __asm__("kinectl_live_page");
extern const char kPageEnd[] __asm__("kinectl_live_page_end");

namespace kinectl {

absl::string_view LivePage() {
  return {kPage, static_cast<size_t>(kPageEnd - kPage)};
}

}  // namespace kinectl
