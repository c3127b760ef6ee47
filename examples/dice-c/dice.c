/* A plugin in C: throws dice. README.md has the commands that build it; wit-bindgen makes plugin.h of wit/plugin.wit.
 *
 * A device calls `describe` once, to learn the opcodes, and `handle` for each operation. What a handler returns is
 * committed; where it returns false, its failure is told to the client, and nothing has happened. */

#include <stdlib.h>

#include "plugin.h"

typedef pixelboy_plugin_types_node_t node_t;

static plugin_string_t text(const char *chars) {
    plugin_string_t text;
    plugin_string_set(&text, chars);
    return text;
}

/* An optional whole number with its default and its range. */
static void number(pixelboy_plugin_calls_borrow_opcode_t op, const char *name, int64_t otherwise, double min, double max) {
    plugin_string_t named = text(name), kind = text("int"), doc = text("");
    node_t node = {.tag = PIXELBOY_PLUGIN_TYPES_NODE_INT, .val.int_ = otherwise};
    uint32_t root = 0;
    plugin_values_t value = {{&node, 1}, {&root, 1}};
    pixelboy_plugin_calls_method_opcode_optional(op, &named, &kind, &doc, &value);
    pixelboy_plugin_calls_method_opcode_range(op, &named, min, max);
}

void exports_plugin_describe(plugin_borrow_manifest_t manifest) {
    plugin_string_t version = text("0.1.0"), about = text("Throws dice."), name = text("roll"),
                    returns = text("a list of what each shows.");
    pixelboy_plugin_calls_method_manifest_version(manifest, &version);
    pixelboy_plugin_calls_method_manifest_about(manifest, &about);
    pixelboy_plugin_calls_own_opcode_t own = pixelboy_plugin_calls_method_manifest_opcode(manifest, &name);
    pixelboy_plugin_calls_borrow_opcode_t roll = pixelboy_plugin_calls_borrow_opcode(own);
    pixelboy_plugin_calls_method_opcode_doc(roll, &about);
    number(roll, "dice", 1, 1, 100);
    number(roll, "sides", 6, 2, 1000);
    pixelboy_plugin_calls_method_opcode_returns(roll, &returns);
    pixelboy_plugin_calls_opcode_drop_own(own);
    /* What is lent must be given back. */
    pixelboy_plugin_calls_manifest_drop_borrow(manifest);
}

/* Like all that is given back, it is made with malloc: the bindings free it. */
bool exports_plugin_handle(plugin_borrow_call_t call, plugin_string_t *op, plugin_values_t *args, plugin_outcome_t *ret,
                           plugin_failure_t *err) {
    /* The seed is the operation's own: handled again, it throws the same. xorshift64 from there. */
    uint64_t random = pixelboy_plugin_calls_method_call_seed(call) | 1;
    pixelboy_plugin_calls_call_drop_borrow(call);
    /* `@timer` and the like, which this plugin never asked for. */
    if (op->len == 0 || op->ptr[0] == '@') {
        plugin_string_dup(&err->code, "unsupported");
        plugin_string_dup(&err->message, "this plugin only throws dice");
        err->details.ptr = NULL;
        err->details.len = 0;
        return false;
    }
    /* The device has checked the arguments and put the defaults in: one for each, in the table's order. */
    uint32_t dice = args->nodes.ptr[args->roots.ptr[0]].val.int_;
    uint32_t sides = args->nodes.ptr[args->roots.ptr[1]].val.int_;
    node_t *nodes = malloc((dice + 1) * sizeof *nodes);
    uint32_t *shown = malloc(dice * sizeof *shown), *root = malloc(sizeof *root);
    for (uint32_t i = 0; i < dice; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        nodes[i] = (node_t){.tag = PIXELBOY_PLUGIN_TYPES_NODE_INT, .val.int_ = 1 + (random >> 32) % sides};
        shown[i] = i;
    }
    /* A list names its elements by their places. */
    nodes[dice] = (node_t){.tag = PIXELBOY_PLUGIN_TYPES_NODE_LIST, .val.list = {shown, dice}};
    *root = dice;
    ret->tag = PIXELBOY_PLUGIN_TYPES_OUTCOME_DONE;
    ret->val.done = (plugin_values_t){{nodes, dice + 1}, {root, 1}};
    plugin_values_free(args);
    plugin_string_free(op);
    return true;
}
