# The report's own target, for `make report`.
rule report_sections:
    input:
        report_products,
        report_pages,
