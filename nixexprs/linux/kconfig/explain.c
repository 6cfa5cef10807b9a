// SPDX-License-Identifier: GPL-2.0-only
/*
 * kconfig-explain: takes the place of the kernel's scripts/kconfig/conf for one call, and is linked with its objects.
 * Of the lines of configuration in the file $ASKED it says which do not take effect, and why: the options that would
 * have to be set, down to those that can be, and who switches them off. It changes the configuration in memory to see
 * which lines would help.
 *
 * env  ASKED         lines CONFIG_X=value of an application
 *      DIFFERENCES   the lines that come before them, ukl's own
 * out  the complete .config; or on stdout, a line each: what is wrong, then "these lines help: ..." if they are known
 *      to. The exit code is 1 then.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lkc.h"

#define LINES 1024	/* of a file, and options that are looked at for one */
#define DEEPEST 6	/* option behind option that a message follows */

struct line {
	char *name, *value;	/* the name without CONFIG_ */
};

struct list {
	struct line line[LINES];
	int n;
};

static struct list asked, differences;

/* Options that would have to be set to y, in the order in which they were found. */
static struct symbol *needed[LINES];
static int n_needed;
static bool noting = true;

static void read_lines(const char *variable, struct list *list)
{
	const char *name = getenv(variable);
	FILE *f = name ? fopen(name, "r") : NULL;
	char text[4096];

	if (!f) {
		fprintf(stderr, "kconfig-explain: %s names no file\n", variable);
		exit(2);
	}
	while (fgets(text, sizeof(text), f)) {
		char *value = strchr(text, '=');

		text[strcspn(text, "\n")] = 0;
		if (strncmp(text, "CONFIG_", 7) || !value)
			continue;
		if (list->n == LINES) {
			fprintf(stderr, "kconfig-explain: %s has more than %d lines\n", name, LINES);
			exit(2);
		}
		*value = 0;
		list->line[list->n].name = xstrdup(text + 7);
		list->line[list->n++].value = xstrdup(value + 1);
	}
	fclose(f);
}

/* set_by is the value that a file gives an option at last; NULL if it does not name it. */
static const char *set_by(const struct list *list, const char *name)
{
	for (int i = list->n - 1; i >= 0; i--)
		if (!strcmp(list->line[i].name, name))
			return list->line[i].value;
	return NULL;
}

/* value is an option's value as a line of configuration has it. */
static const char *value(struct symbol *sym)
{
	static char text[4096];
	const char *s;

	sym_calc_value(sym);
	s = sym_get_string_value(sym);
	if (sym_get_type(sym) != S_STRING)
		return s;
	snprintf(text, sizeof(text), "\"%s\"", s);
	return text;
}

static bool is_tristate(struct symbol *sym)
{
	return sym_get_type(sym) == S_BOOLEAN || sym_get_type(sym) == S_TRISTATE;
}

/* number reads the value of an option of numbers; of an option of hexadecimal ones, with or without 0x. */
static bool number(const char *text, struct symbol *sym, long long *n)
{
	char *end;

	*n = strtoll(text, &end, sym_get_type(sym) == S_HEX ? 16 : 10);
	return end > text && !*end;
}

static bool takes_effect(const struct line *l)
{
	long long is, wanted;
	struct symbol *sym = sym_find(l->name);

	if (!sym || sym->type == S_UNKNOWN)
		return false;
	if (sym_get_type(sym) == S_HEX || sym_get_type(sym) == S_INT)
		return number(l->value, sym, &wanted) && number(value(sym), sym, &is) && is == wanted;
	return !strcmp(value(sym), l->value);
}

static void need(struct symbol *sym)
{
	for (int i = 0; i < n_needed; i++)
		if (needed[i] == sym)
			return;
	if (noting && n_needed < LINES)
		needed[n_needed++] = sym;
}

/* has_prompt tells whether somebody may set an option, if what its prompt depends on holds. */
static bool has_prompt(struct symbol *sym)
{
	struct property *prop;

	for_all_prompts(sym, prop)
		return true;
	return false;
}

/* What an expression of options that does not hold lacks, as text. */
static void lacks(struct gstr *s, struct expr *e, int depth);

static void selectors(struct gstr *s, struct expr *e, bool *any, bool on)
{
	if (!e)
		return;
	if (e->type == E_OR) {
		selectors(s, e->left.expr, any, on);
		selectors(s, e->right.expr, any, on);
		return;
	}
	if (on && expr_calc_value(e) == no)
		return;
	while (e->type == E_AND)
		e = e->left.expr; /* the one that selects stands first, its condition behind it */
	if (e->type != E_SYMBOL || !e->left.sym->name)
		return;
	str_printf(s, "%sCONFIG_%s", *any ? ", " : "", e->left.sym->name);
	*any = true;
}

/* off says of an option that is off who or what keeps it so. */
static void off(struct gstr *s, struct symbol *sym, int depth)
{
	const char *theirs = set_by(&asked, sym->name), *ours = set_by(&differences, sym->name);
	struct property *prop;
	bool any = false;

	str_printf(s, "CONFIG_%s=y", sym->name);
	if (theirs && !strcmp(theirs, "n")) {
		str_append(s, ", which another of these lines switches off");
		return;
	}
	if (!theirs && ours && !strcmp(ours, "n"))
		str_append(s, ", which ukl's configuration switches off");
	sym_calc_value(sym);
	if (has_prompt(sym))
		need(sym);
	if (depth >= DEEPEST || (has_prompt(sym) && sym->visible != no))
		return;
	if (sym->dir_dep.expr && sym->dir_dep.tri == no) {
		str_append(s, " (which needs ");
		lacks(s, sym->dir_dep.expr, depth + 1);
		str_append(s, ")");
		return;
	}
	if (!has_prompt(sym)) {
		str_append(s, " (which other options select");
		if (sym->rev_dep.expr) {
			str_append(s, ": ");
			selectors(s, sym->rev_dep.expr, &any, false);
		}
		str_append(s, ")");
		return;
	}
	for_all_prompts(sym, prop) {
		str_append(s, any ? ", or " : " (which needs ");
		lacks(s, prop->visible.expr, depth + 1);
		any = true;
	}
	str_append(s, ")");
}

static void lacks(struct gstr *s, struct expr *e, int depth)
{
	bool noted = noting;

	switch (e->type) {
	case E_SYMBOL:
		if (e->left.sym->name)
			off(s, e->left.sym, depth);
		return;
	case E_AND:
		if (expr_calc_value(e->left.expr) != no) {
			lacks(s, e->right.expr, depth);
			return;
		}
		lacks(s, e->left.expr, depth);
		if (expr_calc_value(e->right.expr) == no) {
			str_append(s, " and ");
			lacks(s, e->right.expr, depth);
		}
		return;
	case E_OR:
		/* The first alternative is the one that settle() tries. */
		lacks(s, e->left.expr, depth);
		str_append(s, " or ");
		noting = false;
		lacks(s, e->right.expr, DEEPEST);
		noting = noted;
		return;
	case E_NOT:
		if (e->left.expr->type == E_SYMBOL) {
			str_printf(s, "CONFIG_%s=n", e->left.expr->left.sym->name);
			return;
		}
		/* fall through */
	default:
		expr_gstr_print(e, s);
	}
}

/* why says of a line that does not take effect what the reason is. */
static void why(const struct line *l, struct gstr *s)
{
	struct symbol *sym = sym_find(l->name);
	struct property *prop;
	bool any = false;

	if (!sym || sym->type == S_UNKNOWN) {
		str_append(s, "this kernel has no such option");
		return;
	}
	sym_calc_value(sym);
	if (!is_tristate(sym)) {
		long long n;

		if (sym_get_type(sym) == S_STRING && l->value[0] != '"')
			str_append(s, "the option wants a \"string\"");
		else if (sym_get_type(sym) != S_STRING && !number(l->value, sym, &n))
			str_append(s, "the option wants a number");
		else if (sym_get_range_prop(sym) && has_prompt(sym) && sym->visible != no)
			str_printf(s, "the value is out of range, and %s is taken", value(sym));
	} else if (strcmp(l->value, "y") && strcmp(l->value, "n")) {
		str_append(s, "the option wants y or n");
	} else if (!strcmp(l->value, "n")) {
		if (sym->rev_dep.tri != no) {
			str_append(s, "it is selected by ");
			selectors(s, sym->rev_dep.expr, &any, true);
		} else if (!has_prompt(sym) || sym->visible == no) {
			str_append(s, "it is always on in this configuration");
		}
	} else if (sym->visible != no && sym_is_choice_value(sym)) {
		struct symbol *choice = prop_get_symbol(sym_get_choice_prop(sym));
		struct symbol *other = sym_get_choice_value(choice);

		if (other && other != sym && other->name)
			str_printf(s, "it excludes CONFIG_%s, which is chosen", other->name);
	}
	if (*str_get(s))
		return;
	if (sym->dir_dep.expr && sym->dir_dep.tri == no) {
		str_append(s, "it needs ");
		lacks(s, sym->dir_dep.expr, 0);
		return;
	}
	if (!has_prompt(sym)) {
		str_append(s, "it is not set by a line, but selected by other options");
		if (sym->rev_dep.expr) {
			str_append(s, ": ");
			selectors(s, sym->rev_dep.expr, &any, false);
		}
		return;
	}
	if (sym->visible == no) {
		str_append(s, "it needs ");
		for_all_prompts(sym, prop) {
			if (any)
				str_append(s, ", or ");
			lacks(s, prop->visible.expr, 0);
			any = true;
		}
		return;
	}
	str_printf(s, "its value is %s", value(sym));
}

/* settle gives options their values in memory, the needed ones first. */
static bool settle(void)
{
	bool all = true;

	for (int i = n_needed - 1; i >= 0; i--)
		sym_set_tristate_value(needed[i], yes);
	for (int i = 0; i < asked.n; i++) {
		struct symbol *sym = sym_find(asked.line[i].name);

		if (sym && sym->type != S_UNKNOWN && is_tristate(sym) && !strcmp(asked.line[i].value, "y"))
			sym_set_tristate_value(sym, yes);
	}
	sym_clear_all_valid();
	for (int i = 0; i < asked.n; i++)
		all = takes_effect(&asked.line[i]) && all;
	return all;
}

/* keeps_ring0 looks whether the lines have left the kernel what it is made for, and says which of them have not. */
static bool keeps_ring0(void)
{
	struct symbol *sym = sym_find("RING0_PROCESS");
	struct gstr s = str_new();

	if (!sym || sym_get_tristate_value(sym) == yes)
		return true;
	noting = false;
	lacks(&s, sym->dir_dep.expr, 0);
	printf("CONFIG_RING0_PROCESS=y excludes what these lines bring along: it needs %s\n", str_get(&s));
	str_free(&s);
	return false;
}

int main(int argc, char **argv)
{
	int bad = 0;

	read_lines("ASKED", &asked);
	read_lines("DIFFERENCES", &differences);
	conf_parse(argv[argc - 1]);
	if (conf_read(NULL) || conf_errors())
		return 2;
	for (int i = 0; i < asked.n; i++) {
		const struct line *l = &asked.line[i];
		struct gstr s = str_new();

		if (strcmp(set_by(&asked, l->name), l->value)) {
			printf("CONFIG_%s=%s: another line says =%s\n", l->name, l->value, set_by(&asked, l->name));
			bad++;
			continue;
		}
		if (takes_effect(l))
			continue;
		bad++;
		why(l, &s);
		printf("CONFIG_%s=%s: %s\n", l->name, l->value, str_get(&s));
		str_free(&s);
	}
	if (!bad && !keeps_ring0())
		bad++;
	if (!bad)
		return conf_write(NULL) ? 2 : 0;
	for (int round = 0; n_needed && round < DEEPEST; round++) {
		if (settle()) {
			bool first = true;

			for (int i = 0; i < n_needed; i++) {
				if (set_by(&asked, needed[i]->name))
					continue;
				printf("%sCONFIG_%s=y", first ? "these lines help: " : ", ", needed[i]->name);
				first = false;
			}
			if (!first)
				printf("\n");
			break;
		}
	}
	return 1;
}
