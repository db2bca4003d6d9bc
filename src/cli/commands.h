/* Commands: the table from which main() picks one by name.
 *
 * A command owns its whole life: it parses its own flags, prints its own errors, and returns the
 * exit code of the program. */
#ifndef SYNOD_CLI_COMMANDS_H
#define SYNOD_CLI_COMMANDS_H

#include <stdio.h>

struct subcommand {
    const char *name;
    const char *summary;
    /* argv[0] is the command's name; returns the exit code. */
    int (*run)(int argc, char **argv);
};

/* Ends with a NULL name. */
extern const struct subcommand commands[];

/* NULL if there is none of that name. */
const struct subcommand *command_find(const char *name);
/* Runs argv[1] with what follows it: the whole of main(), but for what main() sets up. Also takes
 * --version and --help. An unknown name gets a message that names the nearest known one, and 2. */
int commands_main(int argc, char **argv);
void commands_print_help(FILE *out);
/* For --engine: the name of the i-th consensus engine, NULL behind the last. */
const char *engine_choice(size_t i);

int cmd_serve(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_put(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_del(int argc, char **argv);
int cmd_txn(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_lease(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_journal(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_explore(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

#endif
