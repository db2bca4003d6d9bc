/* Commands: the table, the list of them for people, and the two smallest: version and help.
 *
 * Every command explains itself through --help; `synod help NAME` only asks it to. */
#include "cli/commands.h"

#include "cli/options.h"
#include "consensus/engine.h"

#include <string.h>

const struct subcommand commands[] = {
    {"demo", "start a cluster on this machine, kill its leader, watch it recover", cmd_demo},
    {"serve", "run one member of a cluster", cmd_serve},
    {"put", "set a key", cmd_put},
    {"get", "read one key, a prefix or a range", cmd_get},
    {"del", "delete one key, a prefix or a range", cmd_del},
    {"txn", "compare and change several keys in one step", cmd_txn},
    {"watch", "print changes as they happen", cmd_watch},
    {"lease", "grant, renew, inspect and revoke leases", cmd_lease},
    {"status", "show the members: who leads, how far each one is", cmd_status},
    {"compact", "forget the history before a revision", cmd_compact},
    {"snapshot", "save the whole database to a file", cmd_snapshot},
    {"bench", "measure throughput and latency", cmd_bench},
    {"journal", "read a member's log on disk", cmd_journal},
    {"sim", "run simulated clusters through faults, from seeds", cmd_sim},
    {"explore", "visit every state of a small cluster", cmd_explore},
    {"check", "say whether a recorded history is linearizable", cmd_check},
    {"version", "print the version", cmd_version},
    {"help", "explain a command", cmd_help},
    {NULL, NULL, NULL},
};

const struct subcommand *command_find(const char *name)
{
    for (const struct subcommand *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

void commands_print_help(FILE *out)
{
    fprintf(out, "synod keeps critical state consistent on several machines; it speaks etcd's v3 "
                 "API.\n\nUsage:\n  synod COMMAND [flags]\n\nCommands:\n");
    for (const struct subcommand *c = commands; c->name != NULL; c++)
        fprintf(out, "  %-10s %s\n", c->name, c->summary);
    fprintf(out, "\nBegin with:\n"
                 "  synod demo                     a cluster of three, with a failure, explained\n"
                 "  synod put greeting hello       then: synod get greeting\n"
                 "  synod help COMMAND             flags and examples of a command\n");
}

const char *engine_choice(size_t i)
{
    return engines_all[i] == NULL ? NULL : engines_all[i]->name;
}

static int complain_unknown(const char *typed)
{
    const char *names[sizeof commands / sizeof commands[0]];
    size_t count = 0;
    for (const struct subcommand *c = commands; c->name != NULL; c++)
        names[count++] = c->name;
    const char *near = nearest_name(typed, names, count);
    fprintf(stderr, "synod: unknown command \"%s\"", typed);
    if (near != NULL)
        fprintf(stderr, " (did you mean \"%s\"?)", near);
    fprintf(stderr, "\nRun 'synod help' for the list.\n");
    return 2;
}

int commands_main(int argc, char **argv)
{
    if (argc < 2) {
        commands_print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-help") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0 || strcmp(name, "-version") == 0)
        name = "version";
    const struct subcommand *command = command_find(name);
    if (command == NULL)
        return complain_unknown(name);
    return command->run(argc - 1, argv + 1);
}

int cmd_version(int argc, char **argv)
{
    static const struct options_spec spec = {
        .command = "version", .summary = "print the version", .tables = {NULL}};
    struct options options;
    enum options_result result = options_parse(&options, &spec, argc, argv);
    if (result != OPTIONS_RUN)
        return options_exit_code(result);
    printf("synod %s\n", SYNOD_VERSION);
    options_release(&options);
    return 0;
}

int cmd_help(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        commands_print_help(stdout);
        return 0;
    }
    const struct subcommand *command = command_find(argv[1]);
    if (command == NULL)
        return complain_unknown(argv[1]);
    if (command->run == cmd_help) {
        commands_print_help(stdout);
        return 0;
    }
    char *const arguments[] = {argv[1], (char[]){"--help"}, NULL};
    return command->run(2, (char **)arguments);
}
