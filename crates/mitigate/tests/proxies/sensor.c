/* Sensor: which requests do rules written for Suricata match, as its own parser and expressions see them?
 *
 *   sensor RULES JIT < REQUESTS     a line `1` or `0` for each request
 *
 * Not Suricata: its HTTP parser (libhtp 0.5, as Suricata 6 and 7 have it) and PCRE2 with Suricata's limits. A request
 * is its length in decimal, a line feed, and its bytes; each is a connection of its own. An error of a match is no
 * match, as in Suricata. Knows the keywords that our rules have, and ends with an error at any other.
 * Source: Suricata 7, detect-pcre.c (limits, flags, errors), detect-http-header-names.c (the buffer of names).
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <htp/htp.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, LONGEST_RULE = 8192, LONGEST_REQUEST = 65536 };

struct condition { int of_names; pcre2_code *code; char text[16]; };
struct rule { int count; struct condition conditions[8]; };

static struct rule rules[MOST];
static int rule_count;
static pcre2_match_context *limits;
static pcre2_match_data *result;

static void fail(const char *why, const char *what)
{
    fprintf(stderr, "%s: %.200s\n", why, what);
    exit(1);
}

static pcre2_code *compile(const char *text, size_t length, int jit)
{
    int error;
    PCRE2_SIZE at;
    uint32_t options = PCRE2_CASELESS;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, length, options | PCRE2_NO_AUTO_CAPTURE, &error, &at, NULL);
    if (!code && error == 115)
        code = pcre2_compile((PCRE2_SPTR)text, length, options, &error, &at, NULL);
    if (!code)
        fail("no expression", text);
    if (jit && pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) != 0)
        fail("not compiled", text);
    return code;
}

/* One line: a head, then options, each to its `; `. */
static void read_rule(char *line, int jit)
{
    struct rule *rule = &rules[rule_count++];
    char *option = strchr(line, '(') + 1;
    int of_names = -1;
    while (*option && *option != ')') {
        char *end = strchr(option, ';');
        if (!end)
            fail("an option without an end", option);
        *end = 0;
        struct condition *condition = &rule->conditions[rule->count];
        if (!strcmp(option, "http.uri.raw"))
            of_names = 0;
        else if (!strcmp(option, "http.header_names"))
            of_names = 1;
        else if (!strncmp(option, "pcre:\"/", 7) && of_names >= 0) {
            if (strcmp(end - 3, "/i\""))
                fail("not the end of an expression", option);
            condition->of_names = of_names;
            condition->code = compile(option + 7, end - 3 - (option + 7), jit);
            rule->count++;
        } else if (!strncmp(option, "content:\"", 9) && of_names >= 0) {
            condition->of_names = of_names;
            snprintf(condition->text, sizeof condition->text, "%.*s", (int)(end - 1 - (option + 9)), option + 9);
            rule->count++;
        } else if (strncmp(option, "flow:", 5) && strncmp(option, "msg:", 4) && strncmp(option, "sid:", 4) &&
                   strncmp(option, "rev:", 4))
            fail("an unknown option", option);
        option = end + 1 + (end[1] == ' ');
    }
    if (!rule->count)
        fail("a rule without a condition", line);
}

static int holds(const struct condition *condition, const char *text, size_t length)
{
    if (condition->code)
        return pcre2_match(condition->code, (PCRE2_SPTR)text, length, 0, 0, result, limits) >= 0;
    return memmem(text, length, condition->text, strlen(condition->text)) != NULL;
}

static int matches(htp_tx_t *tx)
{
    static char names[LONGEST_REQUEST * 2];
    size_t length = 0;
    if (!tx->request_uri)
        return 0;
    memcpy(names, "\r\n", 2), length = 2;
    for (size_t n = 0; n < htp_table_size(tx->request_headers); n++) {
        bstr *name = ((htp_header_t *)htp_table_get_index(tx->request_headers, n, NULL))->name;
        memcpy(names + length, bstr_ptr(name), bstr_len(name));
        memcpy(names + length + bstr_len(name), "\r\n", 2);
        length += bstr_len(name) + 2;
    }
    memcpy(names + length, "\r\n", 2), length += 2;
    for (int n = 0; n < rule_count; n++) {
        int all = 1;
        for (int m = 0; m < rules[n].count; m++) {
            struct condition *condition = &rules[n].conditions[m];
            all &= condition->of_names ? holds(condition, names, length)
                                       : holds(condition, (char *)bstr_ptr(tx->request_uri), bstr_len(tx->request_uri));
        }
        if (all)
            return 1;
    }
    return 0;
}

int main(int count, char **arguments)
{
    static char line[LONGEST_RULE], request[LONGEST_REQUEST];
    FILE *file = count == 3 ? fopen(arguments[1], "r") : NULL;
    if (!file)
        fail("no rules", "sensor RULES JIT");
    while (fgets(line, sizeof line, file)) {
        if (!strchr(line, '\n'))
            fail("longer than a rule may be", line);
        if (line[0] != '#')
            read_rule(line, arguments[2][0] == '1');
    }
    limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(limits, 3500);
    pcre2_set_depth_limit(limits, 1500);
    result = pcre2_match_data_create(30, NULL);
    htp_cfg_t *settings = htp_config_create();
    htp_config_set_server_personality(settings, HTP_SERVER_IDS);
    size_t length;
    while (scanf("%zu", &length) == 1) {
        if (length >= sizeof request || getchar() != '\n' || fread(request, 1, length, stdin) != length)
            fail("half a request", "");
        htp_connp_t *connection = htp_connp_create(settings);
        htp_connp_open(connection, "198.18.1.2", 40000, "198.18.2.2", 80, NULL);
        htp_connp_req_data(connection, NULL, request, length);
        htp_tx_t *tx = htp_list_get(htp_connp_get_connection(connection)->transactions, 0);
        puts(tx && matches(tx) ? "1" : "0");
        htp_connp_destroy_all(connection);
    }
    return 0;
}
