#include "app/app.h"
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return cli_main(app_modules, app_n_modules, argc, argv);
}
