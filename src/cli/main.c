/* synod: one program. The first argument names a command; each is a file cmd_<name>.c. */
#include "cli/commands.h"

int main(int argc, char **argv)
{
    return commands_main(argc, argv);
}
