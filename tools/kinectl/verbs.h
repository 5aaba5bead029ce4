// The table of verbs. Each verb's function does one job over the session and
// returns the exit code.
#pragma once

#include <span>

#include "tools/kinectl/args.h"
#include "tools/kinectl/session.h"

namespace kinectl {

// --socket, --owner, --json, --help, --version.
std::span<const Flag> GlobalFlags();
std::span<const Verb> AllVerbs();

// record.cc: starts, waits, stops on a signal, fetches.
int RunRecord(Session& session, const Args& args);

// recording_verbs.cc
int RunStart(Session& session, const Args& args);
int RunStop(Session& session, const Args& args);
int RunPause(Session& session, const Args& args);
int RunResume(Session& session, const Args& args);
int RunStatus(Session& session, const Args& args);
int RunList(Session& session, const Args& args);
int RunGet(Session& session, const Args& args);
int RunDigest(Session& session, const Args& args);
int RunRemove(Session& session, const Args& args);
int RunPin(Session& session, const Args& args);
int RunUnpin(Session& session, const Args& args);

// picture_verbs.cc
int RunFrame(Session& session, const Args& args);
int RunCursor(Session& session, const Args& args);
int RunShot(Session& session, const Args& args);
int RunTrace(Session& session, const Args& args);

// replay.cc
int RunReplay(Session& session, const Args& args);

// timeline_verbs.cc
int RunMark(Session& session, const Args& args);
// live.cc
int RunLive(Session& session, const Args& args);

// run.cc
int RunRun(Session& session, const Args& args);
int RunLogs(Session& session, const Args& args);

// process_verbs.cc
int RunPs(Session& session, const Args& args);
int RunKill(Session& session, const Args& args);
int RunWait(Session& session, const Args& args);

// daemon_verbs.cc
int RunInfo(Session& session, const Args& args);
int RunSources(Session& session, const Args& args);
int RunEvents(Session& session, const Args& args);

// doctor.cc
int RunDoctor(Session& session, const Args& args);

// completion.cc
int RunCompletion(Session& session, const Args& args);

}  // namespace kinectl
