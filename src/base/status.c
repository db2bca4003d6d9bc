#include "base/status.h"

const char *status_text(enum status status)
{
    switch (status) {
#define STATUS_TEXT(name, text)                                                                    \
    case STATUS_##name:                                                                            \
        return text;
        STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}
