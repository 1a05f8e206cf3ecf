# syntax=docker/dockerfile:1
# The studio with a CUDA build of torch; the CUDA libraries come as Python packages, so the base image needs none.
FROM python:3.11-slim-bookworm

# Triton and Inductor compile small pieces of C and C++ while a model trains; Python's headers are in the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 studio \
    && mkdir /data \
    && chown studio:studio /data

WORKDIR /home/studio/app
COPY requirements.txt requirements-unsloth.txt ./
RUN pip install --no-cache-dir -r requirements.txt
# A step of its own, so that a new unsloth does not renew the gigabytes above.
# hadolint ignore=DL3059
RUN pip install --no-cache-dir --no-deps -r requirements-unsloth.txt
COPY . .

# Runs, downloads and everything compiled are kept below STUDIO_DATA_DIR. No token belongs here: pass HF_TOKEN at the start.
ENV STUDIO_DATA_DIR=/data \
    STUDIO_HOST=0.0.0.0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1

USER 1000
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/robots.txt', timeout=4)"]
CMD ["python", "-m", "studio", "serve"]
