/* kinescope-exec: becomes one command. Started by kinescoped in a session of
 * its own with the plan of exec_plan.h in descriptor 3; sets up what only the
 * process itself can set up, then executes the command's program. A failure is
 * {stage, errno} through descriptor 4, which a success closes.
 *
 * Static and without allocation: it lives for a tenth of a millisecond. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/exec/exec_plan.h"

#define GROUPS_MAX 1024

static char* arguments[KINE_PLAN_STRINGS_MAX + 1];
static char* environment[KINE_PLAN_STRINGS_MAX + 1];
static char* rlimits[RLIM_NLIMITS];
static int argument_count, environment_count, rlimit_count;
static char *directory, *user, *mask, *niceness, *oom_score, *terminal, *cgroup;

static void fail(int stage, int error) {
  const struct kine_exec_failure failure = {stage, error};
  /* Nobody to tell when this fails: the exit status says it again. */
  ssize_t ignored = write(KINE_EXEC_ERROR_FD, &failure, sizeof failure);
  (void)ignored;
  _exit(127);
}

/* The next number of `text`; the text ends after the last one. */
static long long number(char** text, int stage) {
  char* end;
  errno = 0;
  const long long value = strtoll(*text, &end, 10);
  if (errno != 0 || end == *text || (*end != ' ' && *end != 0))
    fail(stage, EINVAL);
  *text = *end == ' ' ? end + 1 : end;
  return value;
}

static long long only_number(char* text, int stage) {
  const long long value = number(&text, stage);
  if (*text != 0) fail(stage, EINVAL);
  return value;
}

static void take(char** slot, char* text) {
  if (*slot != NULL) fail(KINE_STAGE_PLAN, EINVAL); /* Twice. */
  *slot = text;
}

static void append(char** list, int* count, int max, char* text) {
  if (*count >= max) fail(KINE_STAGE_PLAN, E2BIG);
  list[(*count)++] = text;
}

static void take_record(char* record) {
  char* text = record + 1;
  switch (record[0]) {
    case KINE_PLAN_DIRECTORY: take(&directory, text); return;
    case KINE_PLAN_USER: take(&user, text); return;
    case KINE_PLAN_UMASK: take(&mask, text); return;
    case KINE_PLAN_NICE: take(&niceness, text); return;
    case KINE_PLAN_OOM_SCORE: take(&oom_score, text); return;
    case KINE_PLAN_TERMINAL: take(&terminal, text); return;
    case KINE_PLAN_CGROUP: take(&cgroup, text); return;
    case KINE_PLAN_ARGUMENT:
      append(arguments, &argument_count, KINE_PLAN_STRINGS_MAX, text);
      return;
    case KINE_PLAN_ENVIRONMENT:
      append(environment, &environment_count, KINE_PLAN_STRINGS_MAX, text);
      return;
    case KINE_PLAN_RLIMIT:
      append(rlimits, &rlimit_count, RLIM_NLIMITS, text);
      return;
    default: fail(KINE_STAGE_PLAN, EINVAL);
  }
}

static void read_plan(void) {
  struct stat status;
  if (fstat(KINE_EXEC_PLAN_FD, &status) != 0) fail(KINE_STAGE_PLAN, errno);
  if (status.st_size <= 0 || status.st_size > KINE_PLAN_BYTES_MAX)
    fail(KINE_STAGE_PLAN, E2BIG);
  const size_t size = (size_t)status.st_size;
  char* text = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
                    KINE_EXEC_PLAN_FD, 0);
  if (text == MAP_FAILED) fail(KINE_STAGE_PLAN, errno);
  char* const end = text + size;
  if (end[-1] != 0 || strcmp(text, KINE_PLAN_MAGIC) != 0)
    fail(KINE_STAGE_PLAN, EPROTO);
  for (text += sizeof KINE_PLAN_MAGIC; text < end; text += strlen(text) + 1) {
    if (text[0] == KINE_PLAN_END) {
      /* Empty, and nothing behind it. */
      if (text + 2 != end) fail(KINE_STAGE_PLAN, EPROTO);
      if (argument_count == 0 || directory == NULL)
        fail(KINE_STAGE_PLAN, EINVAL);
      return;
    }
    take_record(text);
  }
  fail(KINE_STAGE_PLAN, EPROTO); /* Cut short. */
}

static void write_file(int fd, const char* text, int stage) {
  if (fd < 0 || write(fd, text, strlen(text)) < 0) fail(stage, errno);
  close(fd);
}

static void set_rlimits(void) {
  for (int i = 0; i < rlimit_count; ++i) {
    char* text = rlimits[i];
    const int resource = (int)number(&text, KINE_STAGE_RLIMIT);
    const long long soft = number(&text, KINE_STAGE_RLIMIT);
    const long long hard = only_number(text, KINE_STAGE_RLIMIT);
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0)
      fail(KINE_STAGE_RLIMIT, errno);
    if (hard != -2) limit.rlim_max = hard < 0 ? RLIM_INFINITY : (rlim_t)hard;
    limit.rlim_cur = soft < 0 ? RLIM_INFINITY : (rlim_t)soft;
    if (hard == -2 && limit.rlim_cur > limit.rlim_max)
      limit.rlim_cur = limit.rlim_max;
    if (setrlimit(resource, &limit) != 0)
      fail(KINE_STAGE_RLIMIT, errno);
  }
}

static void set_user(void) {
  gid_t groups[GROUPS_MAX];
  int count = 0;
  char* text = user;
  const uid_t uid = (uid_t)number(&text, KINE_STAGE_USER);
  while (*text != 0) {
    if (count == GROUPS_MAX) fail(KINE_STAGE_USER, E2BIG);
    groups[count++] = (gid_t)number(&text, KINE_STAGE_USER);
  }
  if (count == 0) fail(KINE_STAGE_USER, EINVAL);
  if (setgroups((size_t)count, groups) != 0 ||
      setresgid(groups[0], groups[0], groups[0]) != 0 ||
      setresuid(uid, uid, uid) != 0)
    fail(KINE_STAGE_USER, errno);
}

/* As execvp, but the search follows the command's PATH, not ours, and a text
 * without #! is an error, not a script of a shell nobody asked for. */
static void execute(void) {
  const char* name = arguments[0];
  if (strchr(name, '/') != NULL) {
    execve(name, arguments, environment);
    return;
  }
  const char* path = "/usr/local/bin:/usr/bin:/bin";
  for (int i = 0; i < environment_count; ++i)
    if (strncmp(environment[i], "PATH=", 5) == 0) path = environment[i] + 5;
  int error = ENOENT;
  for (;;) {
    const size_t length = strcspn(path, ":");
    char full[PATH_MAX];
    /* An empty entry is the working directory: never searched. */
    if (length > 0 && length + strlen(name) + 2 <= sizeof full) {
      memcpy(full, path, length);
      full[length] = '/';
      strcpy(full + length + 1, name);
      execve(full, arguments, environment);
      if (errno == EACCES)
        error = EACCES;
      else if (errno != ENOENT && errno != ENOTDIR)
        return;
    }
    if (path[length] == 0) break;
    path += length + 1;
  }
  errno = error;
}

/* posix_spawn leaves the two that the C library keeps for itself ignored. */
static void reset_library_signals(void) {
  const struct {
    void* handler;
    unsigned long flags;
    void* restorer;
    unsigned long mask;
  } none = {0};
  for (int signal = 32; signal <= 33; ++signal)
    syscall(SYS_rt_sigaction, signal, &none, NULL, sizeof none.mask);
}

int main(void) {
  /* Before anything else, so that even a broken plan can be told. */
  if (fcntl(KINE_EXEC_ERROR_FD, F_SETFD, FD_CLOEXEC) != 0) _exit(127);
  read_plan();
  reset_library_signals();
  if (getsid(0) != getpid() && setsid() < 0) fail(KINE_STAGE_SESSION, errno);
  if (terminal != NULL && ioctl(0, TIOCSCTTY, 0) != 0)
    fail(KINE_STAGE_TERMINAL, errno);
  if (cgroup != NULL) write_file(KINE_EXEC_CGROUP_FD, "0", KINE_STAGE_CGROUP);
  if (oom_score != NULL)
    write_file(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC),
               oom_score, KINE_STAGE_OOM_SCORE);
  if (niceness != NULL &&
      setpriority(PRIO_PROCESS, 0,
                  (int)only_number(niceness, KINE_STAGE_NICE)) != 0)
    fail(KINE_STAGE_NICE, errno);
  set_rlimits();
  if (mask != NULL) umask((mode_t)only_number(mask, KINE_STAGE_PLAN));
  if (user != NULL) set_user();
  if (chdir(directory) != 0) fail(KINE_STAGE_DIRECTORY, errno);
  /* The plan, the cgroup and whatever slipped in. The error pipe closes at the
   * execve. */
  close(KINE_EXEC_PLAN_FD);
  if (syscall(SYS_close_range, KINE_EXEC_ERROR_FD + 1, ~0u, 0) != 0 &&
      errno != ENOSYS)
    fail(KINE_STAGE_FDS, errno);
  execute();
  fail(KINE_STAGE_EXEC, errno);
}
