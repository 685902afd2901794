/*
 * pgcrypto.c
 *	  bcrypt through the pgcrypto extension, called by function oid: the
 *	  password is never part of a statement.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "pure/crypto.h"
#include "server/pgcrypto.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Whether the function is C code of the library.  Membership in the extension
 * is not enough: the extension's owner may add functions of any kind to it.
 */
static bool
is_of_library(HeapTuple tuple, const char *symbol)
{
	bool		library_is_null;
	bool		symbol_is_null;
	Datum		library = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &library_is_null);
	Datum		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &symbol_is_null);

	return ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
		!library_is_null && strcmp(TextDatumGetCString(library), "$libdir/pgcrypto") == 0 &&
		!symbol_is_null && strcmp(TextDatumGetCString(source), symbol) == 0;
}

/*
 * Whatever schema it lives in, and never a function of the same name that
 * somebody else made.
 */
static Oid
member_function(const char *name, const char *symbol, int nargs, const Oid *types)
{
	Oid			extension = get_extension_oid("pgcrypto", false);
	oidvector  *arguments = buildoidvector(types, nargs);
	CatCList   *candidates = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	Oid			found = InvalidOid;

	for (int i = 0; i < candidates->n_members && !OidIsValid(found); i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&candidates->members[i]->tuple);

		if (proc->pronargs == nargs &&
			memcmp(proc->proargtypes.values, arguments->values, nargs * sizeof(Oid)) == 0 &&
			is_of_library(&candidates->members[i]->tuple, symbol) &&
			getExtensionOfObject(ProcedureRelationId, proc->oid) == extension)
			found = proc->oid;
	}
	ReleaseSysCacheList(candidates);
	if (!OidIsValid(found))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("extension \"pgcrypto\" has no function %s with %d arguments", name, nargs)));
	return found;
}

static char *
call_crypt(const char *password, const char *salt)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	text	   *secret = cstring_to_text(password);
	Datum		hash = OidFunctionCall2Coll(member_function("crypt", "pg_crypt", 2, types), DEFAULT_COLLATION_OID,
											PointerGetDatum(secret), CStringGetTextDatum(salt));

	SaasWipe(VARDATA(secret), VARSIZE(secret) - VARHDRSZ);
	return TextDatumGetCString(hash);
}

char *
SaasBcryptHash(const char *password, int cost)
{
	Oid			types[2] = {TEXTOID, INT4OID};
	Datum		salt = OidFunctionCall2Coll(member_function("gen_salt", "pg_gen_salt_rounds", 2, types), DEFAULT_COLLATION_OID,
											CStringGetTextDatum("bf"), Int32GetDatum(cost));

	return call_crypt(password, TextDatumGetCString(salt));
}

bool
SaasBcryptMatches(const char *password, const char *hash)
{
	char	   *computed = call_crypt(password, hash);

	return strlen(computed) == strlen(hash) &&
		SaasEqualConstantTime(computed, hash, strlen(hash));
}
