// ProcessRoutes, CompatProcesses: answer /v1/processes and /api/v0/processes by
// asking the table and the outputs; hold no state of their own beyond requests
// that they have in hand.
//
// Control loop only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/loop.h"
#include "daemon/output/output_reply.h"
#include "daemon/process/process_table.h"
#include "ipc/routes.h"

namespace kine {

// The streams of a record's output; null when it has none. (Every
// ProcessOutput of the table was made by an OutputPool.)
std::shared_ptr<OutputStreams> StreamsOf(const ProcessTable& table,
                                         const ProcessRecord& record);

class ProcessRoutes {
 public:
  // All outlive the routes.
  ProcessRoutes(Loop& loop, ProcessTable& table, OutputPool& pool,
                bool owner_optional);

  std::vector<Route> Routes();

 private:
  struct OutputQuery;

  ProcessViewer ViewerOf(const Request& request) const;
  std::string StateJson(const ProcessRecord& record,
                        std::optional<bool> attached) const;
  void Answer(Reply& reply,
              const absl::StatusOr<const ProcessRecord*>& record) const;

  void Start(const Request& request, Reply reply);
  void List(const Request& request, Reply reply) const;
  void Get(const Request& request, Reply reply);
  void Signal(const Request& request, Reply reply);
  void Cancel(const Request& request, Reply reply);
  void Resize(const Request& request, Reply reply);
  void Delete(const Request& request, Reply reply);
  void PutInput(const Request& request, Reply reply);

  // process_output_routes.cc
  void GetOutput(const Request& request, Reply reply);
  void WaitForOutput(std::shared_ptr<OutputStreams> streams, OutputQuery query,
                     Reply reply);
  void AnswerPiece(std::shared_ptr<OutputStreams> streams, OutputQuery query,
                   Reply reply) const;
  void AnswerAgentView(const OutputStreams& streams, const OutputQuery& query,
                       Reply reply) const;
  void Follow(std::shared_ptr<OutputStreams> streams, const OutputQuery& query,
              bool ndjson, Reply reply);
  // Its exit (or that it runs), as members of a reply with a comma in front.
  std::string EndingOf(const std::string& id) const;
  bool HasEnded(const std::string& id) const;
  absl::Status Expired(const std::string& id) const;

  Loop& loop_;
  ProcessTable& table_;
  OutputPool& pool_;
  const bool owner_optional_;
};

// /api/v0/processes as coder's agent serves it: its fields, texts, codes, order
// and caps, for clients that know no other. A client without a chat sees every
// process; one with a chat those of its own and those of no chat.
class CompatProcesses {
 public:
  // All outlive the routes.
  CompatProcesses(const Clock& clock, ProcessTable& table, OutputPool& pool);

  std::vector<Route> Routes();

 private:
  void Start(const Request& request, Reply reply);
  void List(const Request& request, Reply reply);
  void Output(const Request& request, Reply reply);
  void Signal(const Request& request, Reply reply);
  // Null: 404 has been answered.
  const ProcessRecord* Find(const Request& request, Reply& reply) const;
  void AnswerOutput(const ProcessRecord& record, Reply& reply) const;

  const Clock& clock_;
  ProcessTable& table_;
  OutputPool& pool_;
};

}  // namespace kine
