/* The code of two recorded runs as one patch, made in the repository that they ran in. */
#include "run/exec_int.h"
#include "run/experiment.h"

struct recorded {
	yyjson_doc *run, *record;
	struct buf patch;
	struct code_state code;
};

static enum err read_recorded(
	struct cmd *cmd, struct str id, struct recorded *r, struct errtext *et)
{
	struct buf b = {0};
	enum err e = exec_get(cmd, id, &r->run, et);
	if (e)
		return e;
	struct str uri =
		json_str(yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(r->run), "run"), "info"),
			"artifact_uri");
	e = exec_get_file(cmd, uri, "croft/record.json", &b, et);
	if (e == ERR_NOT_FOUND)
		err_set(et, e, "run %.*s was not started by `croft run`: its code is not known",
			STR_FMT(id));
	if (!e)
		e = json_parse(buf_str(&b), &r->record, et);
	buf_free(&b);
	yyjson_val *code = e ? NULL : yyjson_obj_get(yyjson_doc_get_root(r->record), "code");
	if (!e && !yyjson_is_obj(code))
		e = err_set(et, ERR_UNSUPPORTED, "the code of run %.*s was in no git repository",
			STR_FMT(id));
	if (e)
		return e;
	r->code = (struct code_state){.root = json_str(code, "root"),
		.below = json_str(code, "below"),
		.commit = json_str(code, "commit"),
		.remote = json_str(code, "remote")};
	if (json_i64(code, "changed_files", 0) == 0)
		return OK;
	e = exec_get_file(cmd, uri, "croft/code.patch", &r->patch, et);
	r->code.patch = buf_str(&r->patch);
	return e == ERR_NOT_FOUND ? OK : e;
}

static void release(struct recorded *r)
{
	yyjson_doc_free(r->run);
	yyjson_doc_free(r->record);
	buf_free(&r->patch);
}

enum err runs_code_diff(struct cmd *cmd, struct str a, struct str b, struct errtext *et)
{
	struct recorded x = {0}, y = {0};
	struct buf out = {0};
	enum err e = read_recorded(cmd, a, &x, et);
	if (!e)
		e = read_recorded(cmd, b, &y, et);
	if (!e)
		e = code_diff(&x.code, &y.code, PATCH_MAX, &out, et);
	if (e)
		err_wrap(et, e, "the code of both runs");
	else
		cmd_outf(cmd, "\ncode\n%s", out.n ? buf_c(&out) : "the same\n");
	release(&x);
	release(&y);
	buf_free(&out);
	return e;
}
