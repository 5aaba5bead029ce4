/* The plan that kinescoped hands to kinescope-exec in descriptor 3: records of
 * one key byte, a text, and a NUL, in this order of meaning and any order of
 * bytes, between the magic and the end. C and C++ read this file. */
#pragma once

/* Descriptors of kinescope-exec. */
#define KINE_EXEC_PLAN_FD 3
#define KINE_EXEC_ERROR_FD 4  /* Closed by a successful execve. */
#define KINE_EXEC_CGROUP_FD 5 /* cgroup.procs, with KINE_PLAN_CGROUP only. */

#define KINE_PLAN_MAGIC "kinescope-plan 1"
#define KINE_PLAN_BYTES_MAX (1u << 20)
#define KINE_PLAN_STRINGS_MAX 8192

enum {
  KINE_PLAN_DIRECTORY = 'd',   /* Once. */
  KINE_PLAN_ARGUMENT = 'a',    /* At least one; the first is the program. */
  KINE_PLAN_ENVIRONMENT = 'e', /* NAME=value */
  KINE_PLAN_USER = 'u',        /* "uid gid gid..."; the first gid is the own */
  KINE_PLAN_UMASK = 'm',       /* All numbers are decimal. */
  KINE_PLAN_NICE = 'n',
  KINE_PLAN_OOM_SCORE = 'o',
  KINE_PLAN_RLIMIT = 'r',   /* "resource soft hard"; -1 is no limit, and a */
                            /* hard of -2 leaves it as it is */
  KINE_PLAN_TERMINAL = 't', /* "1": descriptor 0 is to control the session */
  KINE_PLAN_CGROUP = 'c',   /* "1": join through descriptor 5 */
  KINE_PLAN_END = '.'       /* Empty, last. */
};

/* What failed. Sent to descriptor 4 with the errno. */
enum {
  KINE_STAGE_PLAN = 1,
  KINE_STAGE_SESSION,
  KINE_STAGE_TERMINAL,
  KINE_STAGE_CGROUP,
  KINE_STAGE_OOM_SCORE,
  KINE_STAGE_NICE,
  KINE_STAGE_RLIMIT,
  KINE_STAGE_USER,
  KINE_STAGE_DIRECTORY,
  KINE_STAGE_FDS,
  KINE_STAGE_EXEC
};

struct kine_exec_failure {
  int stage;
  int error;
};
