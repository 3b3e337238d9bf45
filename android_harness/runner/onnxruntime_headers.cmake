# Sets ONNXRUNTIME_HEADERS to a folder with onnxruntime_c_api.h.
#
# ONNX Runtime's wheels have no headers. An npm package that repackages ONNX Runtime for phones has them (MIT): one
# version of it, known by the hash of the header itself. Kept under build/, so that it is fetched once.
set(ONNXRUNTIME_HEADERS "" CACHE PATH "folder with onnxruntime_c_api.h; fetched from npm where it is not given")
if(ONNXRUNTIME_HEADERS)
  return()
endif()

set(headers_package "@siteed/sherpa-onnx.rn@1.3.1")
set(headers_sha256 d683537d0fdc29e977b5520f7f15d87a0ac212ae6d94fa9be8893a52655621ae)
set(headers_folder ${CMAKE_CURRENT_SOURCE_DIR}/../../build/onnxruntime-headers)
set(header_path package/prebuilt/include/onnxruntime)

if(NOT EXISTS ${headers_folder}/onnxruntime_c_api.h)
  find_program(NPM npm)
  if(NOT NPM)
    message(FATAL_ERROR "npm is needed to fetch ONNX Runtime's C headers; install it, or name a folder that has them: -DONNXRUNTIME_HEADERS=DIR")
  endif()
  set(fetched ${CMAKE_CURRENT_BINARY_DIR}/headers)
  file(REMOVE_RECURSE ${fetched})
  file(MAKE_DIRECTORY ${fetched})
  execute_process(
    COMMAND ${NPM} pack --silent ${headers_package}
    WORKING_DIRECTORY ${fetched} RESULT_VARIABLE failed OUTPUT_QUIET)
  file(GLOB archive ${fetched}/*.tgz)
  if(failed OR NOT archive)
    message(FATAL_ERROR "npm cannot fetch ${headers_package}, which holds ONNX Runtime's C headers")
  endif()
  file(ARCHIVE_EXTRACT INPUT ${archive} DESTINATION ${fetched} PATTERNS ${header_path}/onnxruntime_c_api.h ${header_path}/onnxruntime_ep_c_api.h)
  file(SHA256 ${fetched}/${header_path}/onnxruntime_c_api.h found_sha256)
  if(NOT found_sha256 STREQUAL headers_sha256)
    message(FATAL_ERROR "${headers_package}: onnxruntime_c_api.h has the SHA-256 ${found_sha256}, not ${headers_sha256}")
  endif()
  file(MAKE_DIRECTORY ${headers_folder})
  file(COPY ${fetched}/${header_path}/ DESTINATION ${headers_folder})
  file(REMOVE_RECURSE ${fetched})
endif()
set(ONNXRUNTIME_HEADERS ${headers_folder} CACHE PATH "" FORCE)
