# %% [markdown]
# # A month's report
#
# Revenue by month, receivables by age and the largest customers, from the DuckDB file that
# `sync.py` keeps current. Run the cells in an editor that knows them, or the whole file:
#
#     pip install 'zoho-async[duckdb]' matplotlib
#     python sync.py books.duckdb --sandbox
#     python report.py books.duckdb report.svg

# %% The file, and the day of the report

import sys
from datetime import date
from pathlib import Path

import duckdb
import matplotlib

matplotlib.use("Agg")  # draws into files, without a screen
from matplotlib import pyplot

FILE, PICTURE = [*sys.argv[1:], "books.duckdb", "report.svg"][:2]
TODAY = date.fromisoformat(sys.argv[3]) if len(sys.argv) > 3 else date.today()
books = duckdb.connect(FILE, read_only=True)

# %% [markdown]
# Amounts are converted to the base currency at the rate of each document. Drafts, documents that
# wait for approval, and void and deleted documents do not count.

# %% Sales: invoices, less credit notes

for name in ("invoices", "credit_notes"):
    books.execute(f"""
        CREATE TEMP VIEW {name} AS
        SELECT * FROM books_{name} WHERE _deleted_time IS NULL
        AND status NOT IN ('draft', 'void', 'pending_approval', 'approved', 'rejected')
    """)
books.execute("""
    CREATE TEMP VIEW sales AS
    SELECT date, customer_id, customer_name, round(total * coalesce(exchange_rate, 1), 2) AS amount
    FROM invoices
    UNION ALL
    SELECT date, customer_id, customer_name, -total FROM credit_notes
""")

# %% Revenue by month

months = books.execute("""
    SELECT strftime(date, '%Y-%m') AS month, sum(amount)::DECIMAL(18, 2) AS revenue
    FROM sales GROUP BY month ORDER BY month
""").fetchall()
for month, revenue in months:
    print(f"{month}  {revenue:>14,}")

# %% Receivables by age, in the intervals of Zoho's own report

AGES = ("current", "1-15", "16-30", "31-45", "over 45")
ages = dict.fromkeys(AGES, 0) | dict(
    books.execute(
        """
        WITH open AS (
            SELECT $today::DATE - due_date AS age,
                   round(balance * coalesce(exchange_rate, 1), 2) AS amount
            FROM invoices WHERE balance <> 0
        )
        SELECT CASE WHEN age <= 0 THEN 'current'
                    WHEN age <= 15 THEN '1-15'
                    WHEN age <= 30 THEN '16-30'
                    WHEN age <= 45 THEN '31-45'
                    ELSE 'over 45' END AS days,
               sum(amount)::DECIMAL(18, 2) AS due
        FROM open GROUP BY days
        """,
        {"today": TODAY},
    ).fetchall()
)
for days, due in ages.items():
    print(f"{days:>8}  {due:>14,}")

# %% The largest customers

customers = books.execute("""
    SELECT any_value(customer_name) AS customer, sum(amount)::DECIMAL(18, 2) AS revenue
    FROM sales GROUP BY customer_id ORDER BY revenue DESC, customer LIMIT 8
""").fetchall()
for customer, revenue in customers:
    print(f"{customer:<30}  {revenue:>14,}")

# %% The plot

matplotlib.rcParams |= {"font.size": 9, "svg.hashsalt": "report", "svg.fonttype": "none"}
figure, (left, middle, right) = pyplot.subplots(
    1, 3, figsize=(11, 3.4), width_ratios=(5, 2, 3), layout="constrained"
)
left.bar([month for month, _ in months], [float(revenue) / 1000 for _, revenue in months])
left.set_title("Revenue by month, thousands")
left.set_xticks(range(0, len(months), 6), [month for month, _ in months[::6]])
middle.bar(list(ages), [float(due) / 1000 for due in ages.values()], color="tab:orange")
middle.set_title("Receivables by days overdue")
middle.tick_params("x", rotation=30)
right.barh([name for name, _ in customers], [float(each) / 1000 for _, each in customers])
right.invert_yaxis()
right.set_title("Largest customers, thousands")
for each in (left, middle, right):
    each.spines[["top", "right"]].set_visible(False)
figure.savefig(PICTURE, metadata={"Date": None} if Path(PICTURE).suffix == ".svg" else None)
