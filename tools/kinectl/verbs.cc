#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

constexpr Flag kGlobals[] = {
    {"socket", "PATH", "the daemon's socket"},
    {"owner", "TOKEN", "act for this owner (Kinescope-Owner)"},
    {"json", nullptr, "print JSON"},
    {"help", nullptr, "print this"},
    {"version", nullptr, "print the version"},
};

#define KINECTL_START_FLAGS                                                    \
  {"id", "ID", "the recording's name; chosen when absent"},                    \
      {"source", "SOURCE",                                                     \
       "auto (default), portal, pipewire[:NAME|:node:ID|:serial:N], test"},    \
      {"size", "WxH", "of the test source (1280x720)"},                        \
      {"pattern", "NAME", "of the test source: scroll, typing, video, still"}, \
      {"fps", "N", "frames a second at most (30)"},                            \
      {"duration", "TIME", "end after so long: 5s, 1m30s"},                    \
      {"max_bytes", "N", "end before the file is larger: 100M"},               \
      {"quality", "N", "0 (worst) to 100"},                                    \
      {"bitrate", "N", "bits a second, instead of a quality"},                 \
      {"profile", "NAME", "instant (default), studio"},                        \
      {"encoder", "NAME", "auto (default), vaapi, software"},                  \
      {"cursor", "NAME",                                                       \
       "the pointer: embedded (in the picture), metadata (as data only)"},     \
      {"crop", "WxH+X+Y", "only this part of the picture"},                    \
      {"durability", "NAME", "fragment (default), finish"},                    \
      {"idle_stop", "TIME",                                                    \
       "end when nothing happens for so long (10m; record: never)"},           \
      {"compact_after", "TIME", "the file plays stillness faster after this"}, \
      {"compact_speed", "N", "how much faster its compact view is then (8)"},  \
      {"labels", "K=V,...", "kept with the recording"}, {                      \
    "restart", nullptr,                                                        \
        "replace a finished recording of that id that had other settings"      \
  }

constexpr Flag kRecordFlags[] = {
    KINECTL_START_FLAGS,
    {"output", "FILE", "fetch the file when it is finished; - is stdout"},
};
constexpr Flag kStartFlags[] = {KINECTL_START_FLAGS};
constexpr Flag kStopFlags[] = {
    {"no_wait", nullptr, "do not wait until the file is finished"},
};
constexpr Flag kStatusFlags[] = {
    {"wait", "WHAT", "until first_frame or ready"},
    {"timeout", "TIME", "of --wait (60s)"},
};
constexpr Flag kListFlags[] = {
    {"state", "STATE", "only these: recording, ready, interrupted, failed..."},
};
constexpr Flag kGetFlags[] = {
    {"output", "FILE", "where to (ID.mp4); - is standard output"},
    {"view", "VIEW", "realtime or compact (the file's own)"},
    {"partial", nullptr, "what is durable of one that still grows"},
    {"verify", nullptr, "compare with the daemon's SHA-256 before keeping it"},
};
constexpr Flag kFrameFlags[] = {
    {"at", "TIME", "so long after the first; else where most changed (JPEG)"},
    {"output", "FILE", "where to (ID.png, ID.jpg); - is standard output"},
};
constexpr Flag kCursorFlags[] = {
    {"format", "NAME", "ndjson (default), cap (Cap's cursor.json)"},
    {"view", "VIEW", "realtime or compact (the file's own)"},
    {"output", "FILE", "where to (ID.cursor.ndjson); - is standard output"},
};
constexpr Flag kShotFlags[] = {
    {"source", "SOURCE", "auto (default), or as in a request: test, {...}"},
    {"width", "N", "scaled to it; the height follows"},
    {"height", "N", "scaled to it; the width follows"},
    {"output", "FILE", "where to (screenshot.png); - is standard output"},
};
constexpr Flag kTraceFlags[] = {
    {"output", "FILE", "where to (ID.trace.json); - is standard output"},
};
constexpr Flag kReplayFlags[] = {
    {"id", "ID", "the recording's name; chosen when absent"},
    {"output", "FILE", "fetch the file; - is standard output"},
};
constexpr Flag kMarkFlags[] = {
    {"kind", "KIND", "action (default), chapter, note, error"},
    {"at", "TIME", "so long after the first frame (now)"},
    {"duration", "TIME", "how long it lasts"},
};
constexpr Flag kLiveFlags[] = {
    {"http", "127.0.0.1:PORT",
     "serve it to browsers here instead; 0: any free port"},
};
constexpr Flag kRunFlags[] = {
    {"id", "ID", "its name; chosen when absent"},
    {"shell", nullptr, "COMMAND is one word, run by /bin/sh -c"},
    {"cwd", "DIR", "where (here)"},
    {"env", "K=V,...", "set in its environment"},
    {"labels", "K=V,...", "kept with it"},
    {"pty", nullptr, "give it a terminal"},
    {"merge", nullptr, "one stream of both, in the order of writing"},
    {"noninteractive", nullptr, "no pagers, editors, prompts and colours"},
    {"deadline", "TIME", "end it after so long"},
    {"no_stdin", nullptr, "its standard input is /dev/null"},
    {"detach", nullptr, "print its id and leave it running"},
};
constexpr Flag kPsFlags[] = {
    {"state", "STATE", "only these: running, orphan, exited"},
};
constexpr Flag kLogsFlags[] = {
    {"follow", nullptr, "until it ends; -f"},
};
constexpr Flag kKillFlags[] = {
    {"signal", "NAME", "only this signal, instead of TERM, grace, KILL"},
    {"scope", "SCOPE", "of the signal: process, group, tree (default)"},
};
constexpr Flag kWaitFlags[] = {
    {"timeout", "TIME", "for so long (until it ends)"},
};
constexpr Flag kEventsFlags[] = {
    {"since", "EVENT", "resume after this event's id"},
};
constexpr Flag kDoctorFlags[] = {
    {"self_test", nullptr, "also encode and decode with every encoder"},
    {"render_node", "PATH", "test this GPU's device, and no other"},
    {"timeout", "TIME", "what each device may take (20s)"},
};

constexpr Verb kVerbs[] = {
    {"record", "", "Record until --duration, Ctrl-C or a limit", kRecordFlags,
     RunRecord},
    {"start", "", "Start a recording and leave it running", kStartFlags,
     RunStart},
    {"stop", "ID", "End a recording", kStopFlags, RunStop},
    {"pause", "ID", "Pause a recording; its time stands still", {}, RunPause},
    {"resume", "ID", "Go on with a paused recording", {}, RunResume},
    {"mark", "ID LABEL...", "Mark this moment of a recording", kMarkFlags,
     RunMark},
    {"status", "ID", "Show one recording", kStatusFlags, RunStatus},
    {"list", "", "Show all recordings", kListFlags, RunList},
    {"get", "ID", "Fetch a recording's MP4", kGetFlags, RunGet},
    {"digest", "ID", "Show the SHA-256 of a recording's MP4", {}, RunDigest},
    {"live", "ID", "Watch a recording: kinectl live ID | mpv -", kLiveFlags,
     RunLive},
    {"frame", "ID", "Fetch one picture of a recording", kFrameFlags, RunFrame},
    {"cursor", "ID", "Fetch what the pointer did in a recording", kCursorFlags,
     RunCursor},
    {"shot", "", "Fetch what the desktop shows now", kShotFlags, RunShot},
    {"trace", "ID", "Fetch what its pipeline did last, for ui.perfetto.dev",
     kTraceFlags, RunTrace},
    {"replay", "SECONDS", "Make a recording of the last seconds", kReplayFlags,
     RunReplay},
    {"rm", "ID", "Delete a finished recording and its files", {}, RunRemove},
    {"pin", "ID", "Keep a recording whatever retention says", {}, RunPin},
    {"unpin", "ID", "Leave a recording to retention again", {}, RunUnpin},
    {"run", "COMMAND...", "Run a command: its output, its input, its exit code",
     kRunFlags, RunRun},
    {"ps", "", "Show all commands", kPsFlags, RunPs},
    {"logs", "ID", "Show what a command has written", kLogsFlags, RunLogs},
    {"kill", "ID", "End a command and all it started", kKillFlags, RunKill},
    {"wait", "ID", "Wait for a command, and exit as it did", kWaitFlags,
     RunWait},
    {"info",
     "",
     "Show the daemon's version, back ends and limits",
     {},
     RunInfo},
    {"sources", "", "Show what could be captured, and why not", {}, RunSources},
    {"events", "", "Follow every change, a line each", kEventsFlags, RunEvents},
    {"doctor", "", "Look for what is wrong, for a bug report", kDoctorFlags,
     RunDoctor},
    {"completion",
     "SHELL",
     "Print what makes a shell complete these: bash",
     {},
     RunCompletion},
};

}  // namespace

std::span<const Flag> GlobalFlags() { return kGlobals; }
std::span<const Verb> AllVerbs() { return kVerbs; }

}  // namespace kinectl
