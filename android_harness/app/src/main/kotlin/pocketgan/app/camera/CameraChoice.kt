package pocketgan.app.camera

import android.graphics.ImageFormat
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CameraMetadata
import android.util.Range
import android.util.Size
import pocketgan.measure.RefusedException

private const val NS_PER_S = 1_000_000_000L

/** What every camera has, should one tell no ranges. */
private val USUAL_RATE = Range(30, 30)

/** A camera and how it is run. */
internal class CameraChoice(
    val id: String,
    val front: Boolean,
    val sensorDegrees: Int,
    val size: Size,
    val rate: Range<Int>,
    val stampsAreRealtime: Boolean,
)

/**
 * The camera of the side that is asked for, else any; the smallest size that needs no enlarging; the highest fixed
 * frame rate that it has at that size, so that the light does not change what is measured.
 *
 * @throws RefusedException there is none that gives YUV_420_888.
 */
internal fun chooseCamera(manager: CameraManager, request: FrameRequest): CameraChoice {
    val side = if (request.front) CameraMetadata.LENS_FACING_FRONT else CameraMetadata.LENS_FACING_BACK
    val cameras = manager.cameraIdList.map { it to manager.getCameraCharacteristics(it) }.filter { sizes(it.second).isNotEmpty() }
    val (id, facts) = cameras.firstOrNull { it.second[CameraCharacteristics.LENS_FACING] == side } ?: cameras.firstOrNull()
        ?: throw RefusedException("this phone has no camera that an app can use: measure with another mode than camera")
    val size = smallest(sizes(facts), maxOf(request.width, request.height))
    val map = facts[CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP]!!
    val shortest = map.getOutputMinFrameDuration(ImageFormat.YUV_420_888, size)
    return CameraChoice(
        id = id,
        front = facts[CameraCharacteristics.LENS_FACING] == CameraMetadata.LENS_FACING_FRONT,
        sensorDegrees = facts[CameraCharacteristics.SENSOR_ORIENTATION] ?: 0,
        size = size,
        rate = rate(facts[CameraCharacteristics.CONTROL_AE_AVAILABLE_TARGET_FPS_RANGES].orEmpty().toList(), shortest),
        stampsAreRealtime = facts[CameraCharacteristics.SENSOR_INFO_TIMESTAMP_SOURCE] ==
            CameraMetadata.SENSOR_INFO_TIMESTAMP_SOURCE_REALTIME,
    )
}

private fun sizes(facts: CameraCharacteristics): List<Size> =
    facts[CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP]?.getOutputSizes(ImageFormat.YUV_420_888).orEmpty().toList()

/** The short side is enough for the model's longer one, as the phone may be held either way; else the largest there is. */
private fun smallest(sizes: List<Size>, side: Int): Size {
    val large = sizes.filter { minOf(it.width, it.height) >= side }
    return large.minByOrNull { it.width.toLong() * it.height } ?: sizes.maxByOrNull { it.width.toLong() * it.height }!!
}

/** @param shortestNs the least time between two frames of that size, 0 where the camera does not tell. */
internal fun rate(ranges: List<Range<Int>>, shortestNs: Long): Range<Int> {
    // 33,333,333 ns are 30 frames a second.
    val most = if (shortestNs > 0) ((NS_PER_S + shortestNs / 2) / shortestNs).toInt() else Int.MAX_VALUE
    val possible = ranges.filter { it.upper <= most }.ifEmpty { ranges }
    return possible.filter { it.lower == it.upper }.maxByOrNull { it.upper }
        ?: possible.maxWithOrNull(compareBy({ it.lower }, { it.upper }))
        ?: USUAL_RATE
}
