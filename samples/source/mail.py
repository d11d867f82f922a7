"""Writes the sample mail: mail.py ATTACHMENT.pdf OUT.eml"""
import sys
from email.message import EmailMessage

message = EmailMessage()
message["From"] = "Rafael Lindqvist <r.lindqvist@tarn.example>"
message["To"] = "Henrike Solberg <h.solberg@marinersquay.example>"
message["Date"] = "Wed, 02 Apr 2025 10:42:00 +0200"
message["Subject"] = "Quotation for a third steriliser"
message["Message-ID"] = "<q-2025-311@tarn.example>"
message.set_content(
    "Dear Ms Solberg,\n\n"
    "thank you for your call of 31 March. Attached is our quotation Q-2025-311 for a Calder 460.\n\n"
    "If you order before 30 April 2025 we take back steriliser C440-1187 for EUR 2,900. "
    "The new machine needs a water connection of 15 mm and a power supply of 400 V.\n\n"
    "Our engineer could come for the installation in the week of 7 July 2025.\n\n"
    "With kind regards\nRafael Lindqvist\nTarn Medical Engineering AG\n"
)
with open(sys.argv[1], "rb") as attachment:
    message.add_attachment(attachment.read(), maintype="application", subtype="pdf", filename="quotation-q-2025-311.pdf")
message.set_boundary("=_sample_boundary_311")
with open(sys.argv[2], "wb") as out:
    out.write(message.as_bytes())
