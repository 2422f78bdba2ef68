/* Parquet: any bytes as a file, row by row. */
#include "base/err.h"
#include "text/parquet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	enum { COLUMNS = 64, ROWS = 2000 };
	struct parquet *p;
	struct parquet_value row[COLUMNS];
	const struct parquet_column *c;
	bool end = false;
	uint64_t sum = 0;
	if (parquet_open(str_mk(data, n), &p, NULL))
		return 0;
	size_t k = parquet_columns(p, &c);
	for (int r = 0; r < ROWS && k <= COLUMNS && !end; r++) {
		if (parquet_next(p, row, &end, NULL))
			break;
		for (size_t i = 0; i < k && !end; i++) {
			for (size_t j = 0; j < row[i].text.n; j++)
				sum += (uint8_t)row[i].text.p[j];
			for (size_t j = 0; j < row[i].n; j++)
				sum += row[i].items[j].text.n;
		}
	}
	parquet_free(p);
	return sum == 1 ? 0 : 0;
}
