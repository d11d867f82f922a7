#!/bin/sh
# Makes the sample documents from their sources with LibreOffice (Debian: libreoffice-writer-nogui) and Python 3.
set -eu
cd "$(dirname "$0")"
out=documents
office() { soffice --headless --norestore "-env:UserInstallation=file://$(pwd)/.office" --infilter="HTML (StarWriter)" --convert-to "$1" --outdir "$2" "$3" >/dev/null 2>&1; }
for name in lease retention inspection quotation; do
  office pdf:writer_pdf_Export .made "source/$name.html"
done
for name in maintenance cleaning minutes; do
  office "docx:MS Word 2007 XML" .made "source/$name.html"
done
cp .made/lease.pdf "$out/lease-quayside-row.pdf"
cp .made/retention.pdf "$out/records-retention-policy.pdf"
cp .made/inspection.pdf "$out/inspection-record-2025-09.pdf"
cp .made/maintenance.docx "$out/maintenance-agreement-sterilisers.docx"
cp .made/cleaning.docx "$out/cleaning-services-agreement.docx"
cp .made/minutes.docx "$out/board-minutes-2025-03-12.docx"
python3 source/mail.py .made/quotation.pdf "$out/quotation-third-steriliser.eml"
rm -rf .made .office
