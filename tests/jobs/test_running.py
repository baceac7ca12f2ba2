"""A job in this process, on SQLite: started, run, ended."""

from pathlib import Path

import jobs
from jobs.catalogue import PrintLabelsInput
from jobs.invoices import RebuildInvoicesInput
from jobs.traffic import SurveyUsageInput
from tests.jobs.houses import house


async def test_the_jobs_of_the_company_run(tmp_path: Path) -> None:
    async with house(tmp_path, tuple(jobs.declared())) as at:
        made = [
            await at.start("RebuildInvoices", RebuildInvoicesInput(customer=3), "finance"),
            await at.start("PrintLabels", PrintLabelsInput(skus=("A-1", "B-2")), "sales"),
            await at.start("SurveyUsage", SurveyUsageInput(page=3), "sales"),
        ]
        for id in made:
            row = await at.ended(id)
            print(row, at.lines(id))
            assert row["state"] == "SUCCEEDED"
