/*
 * fuzz_json_plain.c
 *	  pure/json_plain.c: what the quick reader reads is what jansson reads.
 */
#include "pure/json_plain.h"

#include "polls.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SaasProblem problem = {.sqlstate = ""};
	char	   *text = malloc(size + 1);
	json_t	   *plain;
	json_t	   *other;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	plain = SaasJsonReadPlain(text, size);
	other = SaasJsonRead(text, size, false, "it", &problem);
	if (plain != NULL)
		must(json_is_object(other) && json_object_size(other) > 0 && json_equal(plain, other));
	if (other == NULL)
		check_problem(&problem);
	json_decref(plain);
	json_decref(other);
	free(text);
	return 0;
}
